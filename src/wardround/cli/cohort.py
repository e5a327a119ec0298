"""`wardround cohort`: how many people there are, across hospitals, without seeing one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.contracts.cohort_query import CohortQuestion
    from wardround.contracts.disclosure import Total
    from wardround.contracts.task import Axis
    from wardround.hub.cohorts.queries import Standing
    from wardround.hub.home import HubHome

app = typer.Typer(
    help="Ask the hospitals how many people a question finds.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")
FILE = typer.Argument(..., help="The question as JSON; - reads it from standard input.")
WAIT = typer.Option(30, "--wait", min=0, help="Seconds to wait for the hospitals' answers.")
JSON = typer.Option(False, "--json", help="As JSON, for programs.")


@app.command()
def count(
    file: Path = FILE,
    home: Path = HOME,
    by: str = typer.Option("", "--by", help="Break it down by any of: age, sex, year, modality, manufacturer."),
    project: str = typer.Option("", "--project", help="The project that the question is for."),
    researcher: str = typer.Option("", "--researcher", help="Who asks, for a question that belongs to no project."),
    wait: float = WAIT,
    as_json: bool = JSON,
) -> None:
    """Ask every hospital at once; each answers in rounded numbers, and keeps a budget of what it is asked."""
    from wardround.foundation.clock import now
    from wardround.hub.cohorts.actions import ask
    from wardround.hub.home import HubHome
    from wardround.hub.projects.queries import project_of

    question, axes = read_question(file), read_axes(by)
    if project and researcher:
        raise typer.BadParameter("a question for a project is asked by its researcher; leave out one of the two")
    actor = acting(home, "ask-counts", project or None)
    kind, _, account = actor.partition(":")
    opened = HubHome(home)
    with opened.database.writing() as session:
        owner = project_of(session, project).researcher if project else researcher
        asked = ask(
            session,
            question,
            # Whoever is signed in spends their own budget, and nobody else's.
            asked_by=account if kind == "person" else read_name(owner or account),
            project=project or None,
            by=axes,
            actor=actor,
            at=now(),
        )
    found = collect(opened, asked.id, wait)
    opened.close()
    typer.echo(as_document(found)) if as_json else show(found)


@app.command()
def check(file: Path = FILE) -> None:
    """Read a question and say it in words, without asking anybody."""
    question = read_question(file)
    typer.echo(f"{question.in_words()}\ndigest {question.content_digest()}")


@app.command("list")
def list_(
    home: Path = HOME, last: int = typer.Option(20, "--last", min=1, help="How many of the newest questions.")
) -> None:
    """List the questions that were asked here."""
    from rich.console import Console
    from rich.table import Table

    from wardround.hub.cohorts.queries import newest
    from wardround.hub.home import HubHome

    opened = HubHome(home)
    with opened.database.reading() as session:
        rows = newest(session, last)
    opened.close()
    table = Table("id", "at (UTC)", "asked by", "project", "question")
    for row in rows:
        table.add_row(row.id, f"{row.asked_at:%Y-%m-%d %H:%M:%S}", row.asked_by, row.project or "", row.words)
    Console().print(table)


@app.command("show")
def show_(
    ask: str = typer.Argument(..., help="The question's id, as `cohort count --json` and `cohort list` have it."),
    home: Path = HOME,
    as_json: bool = JSON,
) -> None:
    """Show what the hospitals told; an answer that came late is there too."""
    from wardround.hub.home import HubHome

    opened = HubHome(home)
    found = collect(opened, ask, 0)
    opened.close()
    typer.echo(as_document(found)) if as_json else show(found)


def read_question(file: Path) -> CohortQuestion:
    """The question in a JSON file, or on standard input for `-`.

    Raises:
        WardroundError: it can't be read, is too large, or isn't a question; the message says where.
    """
    import sys

    from wardround.contracts import cohort_query
    from wardround.foundation.errors import WardroundError

    try:
        raw = sys.stdin.buffer.read(cohort_query.LARGEST + 1) if str(file) == "-" else file.read_bytes()
        return cohort_query.read_question(raw)
    except OSError as error:
        raise WardroundError(f"{file} can't be read ({error.strerror})") from None
    except cohort_query.QuestionRefused as refused:
        raise WardroundError(f"{file}: {refused}") from None


def read_axes(text: str) -> tuple[Axis, ...]:
    """The breakdowns that `--by` names.

    Raises:
        BadParameter: it names something else, or one twice.
    """
    from typing import get_args

    from wardround.contracts.task import Axis

    named = [name.strip() for name in text.split(",") if name.strip()]
    known = get_args(Axis)
    for name in named:
        if name not in known:
            raise typer.BadParameter(f"--by {name!r}: an answer is broken down by any of {', '.join(known)}")
    if len(set(named)) < len(named):
        raise typer.BadParameter(f"--by {text!r}: name each once")
    return tuple(cast("list[Axis]", named))


def read_name(text: str) -> str:
    """A researcher's name as projects have it.

    Raises:
        BadParameter: it isn't one.
    """
    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.project import PersonName

    try:
        return TypeAdapter(PersonName).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"--researcher {text!r}: 2 to 80 letters, digits and . @ ' - please") from None


def collect(opened: HubHome, ask: str, wait: float) -> Standing:
    """What the sites told once all have, or when `wait` seconds are over."""
    import time

    from wardround.hub.cohorts.queries import standing

    deadline = time.monotonic() + wait
    while True:
        with opened.database.reading() as session:
            found = standing(session, ask)
        if found.over or time.monotonic() >= deadline:
            return found
        time.sleep(0.02)


def show(found: Standing) -> None:
    """A line for each site, a table for each breakdown, and what is missing."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("site", escape(found.asked.words))
    for site in found.sites:
        words = site.people.in_words() if site.people is not None else _missing(site.state, site.reason)
        table.add_row(site.site, words)
    table.add_section()
    table.add_row("together", _together(found, found.people))
    console.print(table)
    for axis in found.asked.by:
        groups = found.groups(axis)
        table = Table(axis, *(site.site for site in found.sites if site.state == "told"), "together")
        for name, people in groups.items():
            cells = [
                next((part.people.in_words() for part in site.parts if (part.axis, part.value) == (axis, name)), "-")
                for site in found.sites
                if site.state == "told"
            ]
            table.add_row(escape(name), *cells, people.in_words())
        console.print(table if groups else f"by {axis}: no group large enough to be told")
    if found.missing:
        names = ", ".join(f"{site.site} ({site.reason or 'no answer yet'})" for site in found.missing)
        console.print(f"Not in the total: {names}", highlight=False, markup=False)
    console.print(
        "Each site counts a secret third of its people, takes each of them for three, rounds, and says nothing of few "
        f"people. Question {found.asked.id}.",
        highlight=False,
    )


def _missing(state: str, reason: str | None) -> str:
    return "no answer yet" if state == "waiting" else f"{state}: {reason or 'no reason given'}"


def _together(found: Standing, people: Total) -> str:
    if not people.told and not people.untold:
        return "no answer"
    words = people.in_words()
    return words if not found.missing else f"{words}, of {len(found.sites) - len(found.missing)} of the sites"


def as_document(found: Standing) -> str:
    """The same as JSON."""
    import json

    def together(people: Total) -> dict[str, object]:
        return {"about": people.about, "sites_told": people.told, "sites_untold": people.untold}

    document = {
        "ask": found.asked.id,
        "question": found.asked.digest,
        "words": found.asked.words,
        "project": found.asked.project,
        "asked_by": found.asked.asked_by,
        "sites": [
            {
                "site": site.site,
                "state": site.state,
                "about": None if site.people is None else site.people.about,
                "reason": site.reason,
                "parts": [{"axis": part.axis, "value": part.value, "about": part.people.about} for part in site.parts],
            }
            for site in found.sites
        ],
        "total": together(found.people),
        "by": {
            axis: {name: together(people) for name, people in found.groups(axis).items()} for axis in found.asked.by
        },
    }
    return json.dumps(document, indent=2)
