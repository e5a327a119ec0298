"""`wardround deid review`: a person looks at images whose pixels may show who the patient is, and decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from wardround.dicom.pixels_boxes import Box
    from wardround.node.home import NodeHome
    from wardround.node.review.actions import Decided, Reviews

app = typer.Typer(help="Images that wait for a person: list, look, approve, blacken, refuse.", rich_markup_mode=None)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
NUMBER = typer.Argument(..., help="The review's number, from `wardround deid review`.")
REASON = typer.Option(..., "--reason", help="Why, in words; kept with the decision. Name no patient.")
SERIES = typer.Option(False, "--series", help="Decide all that wait of the same series too.")


@app.callback(invoke_without_command=True)
def review(
    context: typer.Context,
    home: Path | None = typer.Option(None, "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME"),
    decided: bool = typer.Option(False, "--decided", help="Also those that were decided."),
) -> None:
    """List what waits for a person, the oldest first. Nothing in the list tells whose an image is."""
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise typer.BadParameter("say which node: --home FOLDER")
    from rich.console import Console
    from rich.table import Table

    from wardround.node.home import NodeHome
    from wardround.node.review import queries
    from wardround.node.review.state import ReviewState

    opened = NodeHome(home)
    opened.database.upgrade()
    with opened.database.reading() as session:
        lines = queries.reviews(session, state=None if decided else ReviewState.WAITING)
        counts = queries.counts(session)
    opened.close()
    table = Table("id", "series", "kind", "frames", "size", "why", "areas", "state", "asked (UTC)")
    for line in lines:
        became = f"{line.state} by {line.decided_by}" if line.decided_by else str(line.state)
        table.add_row(
            str(line.id),
            line.series,
            f"{line.modality} {line.kind}".strip(),
            str(line.image_frames),
            f"{line.columns} x {line.rows}",
            ", ".join(line.reasons),
            str(len(line.found)),
            became,
            f"{line.asked_at:%Y-%m-%d %H:%M}",
        )
    console = Console()
    if lines:
        console.print(table)
    waiting = counts.get(ReviewState.WAITING.value, 0)
    console.print(
        f"{waiting} wait for a person. Look at one: wardround deid review show ID --out FILE.png --home {home}"
        if waiting
        else "Nothing waits for a person.",
        highlight=False,
    )


@app.command()
def show(
    number: int = NUMBER,
    out: Path = typer.Option(..., "--out", help="Where to write the picture (PNG). It may name the patient."),
    frame: int = typer.Option(1, "--frame", help="Which frame, from 1.", min=1),
    plain: bool = typer.Option(False, "--plain", help="Without the outlines of what was found."),
    identity: bool = typer.Option(False, "--identity", help="Say whose it is, to look for that in the picture."),
    home: Path = HOME,
) -> None:
    """Write one frame of the original as a picture for you to look at, on this machine. Audited."""
    from wardround.foundation.files import write_whole
    from wardround.node.review import queries

    actor = acting(home, "look-at-pixels")
    with _reviews(home) as (opened, reviews):
        picture = reviews.look(number, frame=frame, boxes=not plain, actor=actor)
        write_whole(out, picture, mode=0o600)
        with opened.database.reading() as session:
            asked = queries.review(session, number)
        typer.echo(f"Wrote frame {frame} of {asked.image_frames} to {out}; delete it when you have looked.")
        typer.echo(f"Why: {', '.join(asked.reasons)}")
        for box in asked.blackened or asked.found:
            where = f"frame {box.frame}" if box.frame else "all frames"
            typer.echo(f"  row,column,height,width {box.row},{box.column},{box.height},{box.width} in {where}")
        if identity:
            for keyword, value in reviews.identity(number, actor=actor).items():
                typer.echo(f"  {keyword}: {value}")


@app.command()
def approve(number: int = NUMBER, reason: str = REASON, series: bool = SERIES, home: Path = HOME) -> None:
    """Let an image pass as it is: you looked, and it doesn't show who the patient is."""
    actor = acting(home, "decide-review")
    with _reviews(home) as (_, reviews):
        decided = reviews.approve(number, reason, actor=actor, series=series)
    _say(decided, "Approved", "de-identification goes on")


@app.command()
def redact(
    number: int = NUMBER,
    box: list[str] = typer.Option(
        [], "--box", help="ROW,COLUMN,HEIGHT,WIDTH in pixels; may be repeated. None: what was found."
    ),
    frames: str = typer.Option("", "--frames", help="Frames to blacken, as 1,3-5; all if not given."),
    reason: str = REASON,
    series: bool = SERIES,
    home: Path = HOME,
) -> None:
    """Let an image pass with areas of it blackened. Nothing else in its pixels changes."""
    boxes = [one for text in box for one in _boxes(text, _frames(frames))]
    if frames and not boxes:
        raise typer.BadParameter("--frames goes with --box")
    actor = acting(home, "decide-review")
    with _reviews(home) as (_, reviews):
        decided = reviews.redact(number, boxes, reason, actor=actor, series=series)
    _say(decided, "To be blackened", "de-identification goes on")


@app.command()
def refuse(number: int = NUMBER, reason: str = REASON, series: bool = SERIES, home: Path = HOME) -> None:
    """Keep an image off the research path; it stays in quarantine."""
    actor = acting(home, "decide-review")
    with _reviews(home) as (_, reviews):
        decided = reviews.refuse(number, reason, actor=actor, series=series)
    _say(decided, "Refused", "they stay in quarantine")


@contextmanager
def _reviews(home: Path) -> Iterator[tuple[NodeHome, Reviews]]:
    from wardround.node.home import NodeHome
    from wardround.node.review.actions import Reviews

    opened = NodeHome(home)
    try:
        opened.database.upgrade()
        yield opened, Reviews(opened.database, opened.quarantine)
    finally:
        opened.close()


def _say(decided: Decided, done: str, then: str) -> None:
    count = len(decided.done)
    typer.echo(f"{done}: {count} image{'s' if count != 1 else ''}; {then}.")
    for number, why in decided.left.items():
        typer.echo(f"Left for a decision of its own: {number} ({why})")


def _frames(text: str) -> list[int | None]:
    if not text:
        return [None]
    numbers: list[int | None] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.strip().isdecimal() or (last and not last.strip().isdecimal()):
            raise typer.BadParameter(f"{part!r} isn't a frame or a range of frames; write them as 1,3-5")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop <= 100_000:
            raise typer.BadParameter(f"{part!r} isn't a range of frames; they are counted from 1")
        numbers += range(start, stop + 1)
    return numbers


def _boxes(text: str, frames: list[int | None]) -> list[Box]:
    from wardround.dicom.pixels_boxes import Box

    try:
        row, column, height, width = (int(part) for part in text.split(","))
        return [Box(row, column, height, width, frame) for frame in frames]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} isn't a box: write ROW,COLUMN,HEIGHT,WIDTH in pixels, counted from 0"
        ) from None
