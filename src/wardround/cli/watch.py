"""`wardround run watch`: a run's rounds as they come, on a terminal or a line each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from wardround.hub.home import HubHome
    from wardround.hub.runs.tables import RoundSiteRow
    from wardround.hub.runs.view import RoundView, RunView, UnderWay

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")

SHOWN = 10
"""So many of the newest rounds are on a terminal at once."""

FINISHED, FAILED, ENDED, LEFT = 0, 3, 4, 130
"""Exit statuses: the run finished, failed or was ended by a person; the watcher left with Ctrl-C."""


def watch(
    run: str = typer.Argument(..., help="The run."),
    every: float = typer.Option(1.0, "--every", min=0.1, max=3600, help="Seconds between two looks at the hub."),
    home: Path = HOME,
) -> None:
    """Watch a run until it is over: rounds, sites, metrics, bytes, who is missing and why, and what it waits for.

    On a terminal it is drawn anew in place; elsewhere each round is a line. Ctrl-C leaves the run alone. Exit status:
    0 the run finished, 3 it failed, 4 a person ended it, 130 Ctrl-C.
    """
    from rich.console import Console
    from rich.live import Live

    from wardround.hub.home import HubHome
    from wardround.hub.runs import queries

    opened = HubHome(home)
    with opened.database.reading() as session:
        queries.row_of(session, run)
    console = Console()
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
                for view in _views(opened, run, every, last=SHOWN):
                    live.update(_drawn(view), refresh=True)
        else:
            told = ""
            for view in _views(opened, run, every):
                for found in view.rounds:
                    typer.echo(_line(view, found))
                if (now := view.standing) != told:
                    told = now
                    typer.echo(now)
    except KeyboardInterrupt:
        typer.echo(f"Left; the run goes on without you. Look again: wardround run watch {run} --home {home}", err=True)
        raise typer.Exit(LEFT) from None
    finally:
        opened.close()
    typer.echo(_ending(view, home))
    raise typer.Exit({"finished": FINISHED, "failed": FAILED}.get(view.state, ENDED))


def _views(opened: HubHome, run: str, every: float, last: int | None = None) -> Iterator[RunView]:
    """The run as it stands, again and again until it is over: with its newest rounds, or those not seen yet."""
    from wardround.foundation.clock import now
    from wardround.hub.runs import queries
    from wardround.hub.runs.view import see

    seen = 0
    while True:
        with opened.database.reading() as session:
            newest = queries.row_of(session, run).round
            view = see(session, run, now().date(), after=seen if last is None else max(0, newest - last))
        seen = newest
        yield view
        if view.state.over:
            return
        time.sleep(every)


def _line(view: RunView, found: RoundView) -> str:
    """A whole round in one line, for a log."""
    from rich.filesize import decimal

    from wardround.contracts.metric import METRICS

    words = METRICS[view.plan.metric].words
    mean = "" if found.judged is None else f"; {words} of round {found.row.number - 1}: {found.judged:.3f}"
    told = [f"round {found.row.number} of {view.plan.rounds}: {found.row.seconds:.1f} s{mean}"]
    for part in found.taken:
        score = "" if part.score is None else f"{part.score:.3f}, "
        sent, given = decimal(part.bytes_up), decimal(part.bytes_down)
        told.append(f"{part.site} {score}{sent} up, {given} down, {part.seconds:.1f} s")
    return " | ".join([*told, *(f"{site} missing ({why})" for site, why in found.absent)])


def _ending(view: RunView, home: Path) -> str:
    """What the run came to, and what to do next."""
    from wardround.contracts.metric import METRICS

    row = view.row
    why = f" ({view.rounds_ended})" if view.rounds_ended else ""
    if row.model is None:
        return f"Run {row.id} is {view.state} after round {row.round}{why}: {row.reason}"
    score = "" if row.best_score is None else f", {METRICS[view.plan.metric].words} {row.best_score:.3f}"
    return (
        f"Run {row.id} finished after round {row.round}{why}: model {row.model} of round {row.best_round}{score}.\n"
        f"How good it is where: wardround model list --home {home}\n"
        f"A picture of it: wardround run plot {row.id} {row.id}.svg --home {home}"
    )


def _drawn(view: RunView) -> Group:
    """The run for a terminal: its newest rounds, and below them its sites as they stand now."""
    from rich.console import Group
    from rich.text import Text

    from wardround.foundation.clock import now

    since = view.row.state_since if view.under_way is None else view.under_way.since
    so_far = "" if view.state.over else f"; so far {max(0.0, (now() - since).total_seconds()):.0f} s"
    return Group(Text(f"{view.standing}{so_far}"), _rounds_table(view), _sites_table(view))


def _rounds_table(view: RunView) -> Table:
    from rich.filesize import decimal
    from rich.table import Table

    from wardround.contracts.metric import METRICS

    table = Table("round", "leg", "seconds", METRICS[view.plan.metric].words, "up", "down", "missing or refused")
    for found in view.rounds:
        table.add_row(
            f"{found.row.number} of {view.plan.rounds}",
            str(found.row.leg),
            f"{found.row.seconds:.1f}",
            _number(found.row.score),
            decimal(sum(part.bytes_up for part in found.taken)),
            decimal(sum(part.bytes_down for part in found.taken)),
            ", ".join(f"{site} ({why})" for site, why in found.absent),
        )
    return table


def _sites_table(view: RunView) -> Table:
    from rich.filesize import decimal
    from rich.table import Table

    newest: dict[str, RoundSiteRow] = {part.site: part for found in view.rounds for part in found.taken}
    now = {} if view.under_way is None else _doing(view.under_way)
    table = Table("site", "last round", "seconds", "score", "up", "down", "up in all", "down in all", "now")
    for site in sorted(view.traffic.keys() | now.keys()):
        part, (sent, given) = newest.get(site), view.traffic.get(site, (0, 0))
        last = ("", "", "", "", "")
        if part is not None:
            last = (
                str(part.round),
                f"{part.seconds:.1f}",
                _number(part.score),
                decimal(part.bytes_up),
                decimal(part.bytes_down),
            )
        table.add_row(site, *last, decimal(sent), decimal(given), now.get(site, ""))
    return table


def _doing(now: UnderWay) -> dict[str, str]:
    """What each site does in the round under way."""
    doing = dict.fromkeys(now.given, "gave its update") | dict.fromkeys(now.at_work, "at work")
    return doing | dict.fromkeys(now.awaited, "not heard of yet") | dict(now.absent)


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"
