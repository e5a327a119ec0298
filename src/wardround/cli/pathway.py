"""`wardround pathway`: what a hospital reads with which model, a file each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.route import files_in, shown

if TYPE_CHECKING:
    from wardround.node.clinic.definition import Definition
    from wardround.node.clinic.examination import Examination

app = typer.Typer(
    help="Pathways of the clinic: which studies, which model, which checks, what comes of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
NAME = typer.Argument(..., help="The pathway's name: its file without .toml.")
OUT_OF_SCOPE = 3
"""Exit status where every file could be read, and the pathway would read some study not at all."""


@app.command("list")
def list_pathways(home: Path = HOME) -> None:
    """List this node's pathways: which model each names, and whether that reads here now."""
    from wardround.foundation.settings import SettingsRefused
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.clinic.deployment import active
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        serving = {row.pathway: (row.model, row.stage) for row in active(session)}
    opened.close()
    definitions = Definitions(opened.pathways)
    names = definitions.names()
    for name in names:
        try:
            definition = definitions.of(name)
        except SettingsRefused as refused:
            typer.echo(f"{name}: can't be used, so nothing is read on it: {refused}")
            continue
        typer.echo(f"{name}: {definition.title}; {_standing(definition, serving.get(name))}")
    for name in sorted(serving.keys() - set(names)):
        typer.echo(f"{name}: has a model in use and no file, so nothing is read on it; see wardround pathway new")
    if not names:
        typer.echo(f"No pathway is here. Begin one: wardround pathway new NAME --from TEMPLATE --home {home}")


@app.command()
def check(
    name: str | None = typer.Argument(None, help="One pathway's name; all if not given."), home: Path = HOME
) -> None:
    """Check the files of pathways. Exit status 1: one can't be used."""
    from wardround.foundation.settings import SettingsRefused
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.home import NodePaths

    definitions = Definitions(NodePaths(home).pathways)
    names = definitions.names() if name is None else [name]
    faults = 0
    for one in names:
        try:
            definition = definitions.of(one)
        except SettingsRefused as refused:
            faults += 1
            typer.echo(str(refused))
            continue
        without = "" if definition.model else "; it names no model, and refuses to start without one"
        typer.echo(f"{one}: can be used{without}")
    typer.echo(f"{len(names) - faults} of {len(names)} can be used.")
    if faults:
        raise typer.Exit(1)


@app.command()
def show(name: str = NAME, home: Path = HOME) -> None:
    """Show in words what a pathway does."""
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.home import NodePaths

    definition = Definitions(NodePaths(home).pathways).of(name)
    for line in _told(definition):
        typer.echo(line)


@app.command()
def test(
    name: str = NAME,
    files: list[Path] = typer.Argument(..., metavar="FILE...", help="DICOM files, or folders of them.", exists=True),
    home: Path | None = typer.Option(None, "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME"),
    template: bool = typer.Option(False, "--template", help="NAME is that of a template, and no home is needed."),
) -> None:
    """Show which series of each study a pathway would read, and which check passes or fails. It reads headers only.

    It sends nothing and changes nothing, and shows what files say. Exit status 0: every study would be read. 1: a file,
    or the pathway's, can't be read. 3: some study would not be read.
    """
    from wardround.dicom.volume import VolumeRefused
    from wardround.foundation.errors import NotFound
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.clinic.examination import Examination, examine, series_of
    from wardround.node.clinic.template import shipped
    from wardround.node.home import NodePaths
    from wardround.node.receive.arrival import Unreadable

    if home is None and not template:
        raise NotFound("say whose pathway it is: --home FOLDER, or --template for one that is shipped")
    definition = (shipped() if home is None or template else Definitions(NodePaths(home).pathways)).of(name)
    unreadable = 0
    readable: list[Path] = []
    for file in files_in(files):
        try:
            series_of(definition, [file])
            readable.append(file)
        except (Unreadable, OSError) as error:
            unreadable += 1
            why = error.reason_code if isinstance(error, Unreadable) else error.strerror or type(error).__name__
            typer.echo(f"{shown(str(file))}: can't be read: {why}")
    found = series_of(definition, readable)
    unread = 0
    for number, study in enumerate(dict.fromkeys(one.study for one in found), start=1):
        of_study = [file for one in found if one.study == study for file in one.files]
        try:
            examination = examine(definition, of_study)
        except VolumeRefused as refused:
            series = tuple(one for one in found if one.study == study)
            examination = Examination(series, None, ())
            typer.echo(f"Study {number}: not read: its series is no volume ({refused.reason_code.value}): {refused}")
        unread += not _tell(number, examination)
    if unreadable or unread:
        raise typer.Exit(1 if unreadable else OUT_OF_SCOPE)


@app.command()
def templates() -> None:
    """List the pathways that come with this installation, with what each needs and gives."""
    from wardround.node.clinic.template import shipped

    there = shipped()
    for name in there.names():
        one = there.of(name)
        typer.echo(f"{name}: {one.title} ({one.area})")
        typer.echo(f"  input: {one.inputs}")
        typer.echo(f"  output: {one.output.kind} of {one.output.of}")
        if one.evidence is not None:
            needed = one.evidence
            typer.echo(f"  evidence: {needed.metric} over {needed.patients} patients or more. {needed.about}")
    typer.echo("None names a model. Begin a pathway: wardround pathway new NAME --from TEMPLATE --home DIR")


@app.command()
def new(
    name: str = NAME,
    template: str = typer.Option(..., "--from", help="A template, from `wardround pathway templates`."),
    model: str = typer.Option("", "--model", help="The digest of the model version that is to read."),
    home: Path = HOME,
) -> None:
    """Begin a pathway from a template: writes its file, which is yours to change."""
    from wardround.cli.signin import acting
    from wardround.node import audit
    from wardround.node.clinic.definition_file import Definitions
    from wardround.node.clinic.template import begin
    from wardround.node.home import NodeHome

    actor = acting(home, "change-pathway")
    opened = NodeHome(home)
    try:
        with opened.database.writing() as session:
            audit.record(session, actor, "make-pathway", name, f"from {template}")
            file = begin(Definitions(opened.pathways), name, template, model)
    finally:
        opened.close()
    typer.echo(f"Wrote {file}. Try it on files: wardround pathway test {name} FOLDER --home {home}")
    if not model:
        typer.echo("It names no model, and refuses to start without one: put the digest of a registered version there.")
    else:
        # A person decides on one model, not on whichever begins so.
        whole = model if len(model) == 64 else "DIGEST"
        typer.echo(
            f"Take the model into shadow use, by its whole digest: wardround node deploy {whole} --pathway {name} "
            f"--home {home}"
        )


def _standing(definition: Definition, serving: tuple[str, str] | None) -> str:
    if not definition.model:
        return "names no model, so nothing is read on it"
    if serving is None:
        return f"model {definition.model[:12]} isn't in use yet"
    model, stage = serving
    if not definition.names_model(model):
        return (
            f"names model {definition.model[:12]}, and {model[:12]} is in use: nothing is read on it until they agree"
        )
    return f"model {model[:12]} is in use, at {stage}"


def _told(one: Definition) -> Iterator[str]:
    yield f"{one.title}{f' ({one.area})' if one.area else ''}: {one.purpose}"
    if one.exclusions:
        yield f"not for: {one.exclusions}"
    yield f"model: {one.model or 'none named, so nothing is read'}"
    yield f"studies of which one series has: {one.studies.when}"
    if one.studies.emergency_when:
        yield f"read first where: {one.studies.emergency_when}"
    yield f"reads the series with most images that has: {one.series.when if one.series else one.studies.when}"
    if one.prior is not None:
        without = "reads the study by itself" if one.prior.missing == "read" else "leaves the study in its normal order"
        which = one.prior.when or "what the model reads"
        yield f"reads an earlier study too, {one.prior.in_words()}, {which}; where none is kept here it {without}"
    wanted = one.input.model_dump(exclude_defaults=True)
    for key, value in wanted.items():
        yield f"input {key}: {' to '.join(f'{bound:g}' for bound in value) if _span(value) else _listed(value)}"
    if not wanted:
        yield "input: anything that makes a volume; a pathway without a check reads what its model never saw"
    runtime = one.runtime
    yield (
        f"runtime: {runtime.seconds:g} s and {runtime.attempts} attempts; wanted within "
        f"{runtime.deadline_minutes:g} min, in an emergency {runtime.emergency_minutes:g} min"
    )
    output = one.output
    bounds = [f"above {output.flag_above:g}"] if output.flag_above is not None else []
    bounds += [f"below {output.flag_below:g}"] if output.flag_below is not None else []
    flagged = " or ".join(bounds) or ("wherever it marked something" if output.kind == "outline" else "never")
    yield f"output: {output.kind} of {output.of}, flagged {flagged}; goes to the {output.to}, as the stage allows"
    if one.evidence is not None:
        needed = one.evidence
        yield f"evidence: {needed.metric} over {needed.patients} patients or more. {needed.about}".rstrip()


def _span(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(bound, float) for bound in value)


def _listed(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _tell(number: int, examination: Examination) -> bool:
    """Print what comes of a study; whether it would be read."""
    chosen, failed = examination.chosen, examination.failed
    readable = examination.on_pathway and chosen is not None and failed is None
    if not examination.on_pathway:
        typer.echo(f"Study {number}: not of this pathway: none of its series is one that it takes")
    elif chosen is not None or failed is not None:
        said = "would be read" if readable else f"out of scope ({failed.code if failed else 'no-series'}), never read"
        typer.echo(f"Study {number}: {said}")
    for one in examination.series:
        mark = (
            "the model reads this" if one is chosen else "could be read; another has more images" if one.reads else ""
        )
        mark = mark or ("of the pathway, not what the model reads" if one.takes else "not of the pathway")
        typer.echo(f'  series "{shown(one.description)[:60]}", {len(one.files)} images: {mark}')
    for look in examination.checks:
        typer.echo(
            f"    {'passes' if look.holds else 'fails '}  {look.code}: {shown(look.found)}, wanted {look.wanted}"
        )
    return readable
