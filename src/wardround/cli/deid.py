"""`wardround deid`: de-identify a folder by itself, and review what waits for a person at a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from wardround.cli import review
from wardround.cli.statement import statement

if TYPE_CHECKING:
    from wardround.dicom.deidentify_folder import FolderReport


class _RunByDefault(TyperGroup):
    """`wardround deid PATH OUT` is `wardround deid run PATH OUT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="De-identify: `deid PATH OUT` (or `deid run`), profiles, review.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(review.app, name="review")
app.command()(statement)


@app.command()
def run(
    path: Path = typer.Argument(..., help="A folder, a file or a zip with DICOM objects."),
    out: Path = typer.Argument(..., help="An absent or empty folder, or that of an earlier run, which goes on."),
    profile: str = typer.Option("basic", "--profile", help="A profile's name, or a TOML file (a word with a dot)."),
    processes: int = typer.Option(1, "--processes", min=1, max=64, help="How many work at once."),
    secret_file: Path | None = typer.Option(
        None,
        "--secret-file",
        help="Where the secret of pseudonyms and dates is kept; made if absent. Without it, this run's is forgotten.",
    ),
    screening: bool = typer.Option(
        True, "--screening/--no-screening", help="Look at pixels where the class needs it, or refuse such objects."
    ),
    as_json: bool = typer.Option(False, "--json", help="The report as JSON, for programs."),
) -> None:
    """De-identify all objects of PATH into OUT, under new UIDs, and report what was refused and why."""
    import json
    import secrets

    from wardround.dicom.confidentiality import Profile
    from wardround.dicom.deidentify_folder import deidentify_folder
    from wardround.dicom.errors import FolderRefused, ProfileInvalid
    from wardround.foundation.errors import WardroundError

    try:
        chosen = Profile.chosen(profile)
        secret = _secret(secret_file) if secret_file is not None else secrets.token_bytes(32)
        with typer.progressbar(length=1, label="de-identifying", file=_console(), show_pos=True, width=30) as bar:

            def progress(through: int, found: int) -> None:
                bar.length = max(found, 1)
                bar.update(through - bar.pos)

            report = deidentify_folder(
                path,
                out,
                profile=chosen,
                secret=secret,
                processes=processes,
                screens=screening,
                progress=progress,
            )
    except (ProfileInvalid, FolderRefused) as error:
        raise WardroundError(str(error)) from None
    typer.echo(json.dumps(report.document(), indent=2) if as_json else _told(report, secret_file is not None))
    if report.found and not report.done and not report.waiting:
        raise typer.Exit(1)


@app.command()
def profiles(as_json: bool = typer.Option(False, "--json", help="As JSON, for programs.")) -> None:
    """List the profiles that come with the program."""
    import json

    from wardround.dicom.confidentiality import Profile
    from wardround.dicom.confidentiality_profile import shipped_profiles

    found = {name: Profile.named(name) for name in shipped_profiles()}
    if as_json:
        told = {
            name: {"options": sorted(o.word for o in one.options), "accept": sorted(one.accept), "digest": one.digest}
            for name, one in found.items()
        }
        typer.echo(json.dumps(told, indent=2))
        return
    for name, one in found.items():
        typer.echo(name)
        typer.echo(f"  options  {', '.join(sorted(option.word for option in one.options)) or 'none'}")
        typer.echo(f"  accepts  {', '.join(sorted(one.accept)) or 'images, segmentations and plans'}")


def _secret(file: Path) -> bytes:
    import secrets

    from wardround.foundation.errors import WardroundError
    from wardround.foundation.files import write_whole

    try:
        if not file.exists():
            write_whole(file, secrets.token_bytes(32), mode=0o600)
        secret = file.read_bytes()
    except OSError as error:
        raise WardroundError(f"the secret file can't be used: {error.strerror}; correct the path") from None
    if len(secret) < 16:
        raise WardroundError("the secret file holds fewer than 16 bytes; name a path that is free, and one is made")
    return secret


def _console() -> Any:
    import sys

    return sys.stderr


def _told(report: FolderReport, kept_secret: bool) -> str:
    from wardround.node.receive.reasons import explained

    lines = [
        f"{report.done} of {report.found} objects are de-identified: {len(report.patients)} patients, "
        f"{len(report.studies)} studies, {len(report.series)} series"
    ]
    if report.earlier:
        lines.append(f"{report.earlier} of the objects were through before this run")
    lines += [
        f"  waits for a person  {count:>6}  {explained(reason)}" for reason, count in sorted(report.waiting.items())
    ]
    lines += [
        f"  refused             {count:>6}  {explained(reason)}" for reason, count in sorted(report.refused.items())
    ]
    if report.defaced:
        lines.append(f"  face removed        {report.defaced:>6}  series")
    lines += [f"  face not located    {count:>6}  series: {reason}" for reason, count in sorted(report.unclear.items())]
    if report.waiting or report.unclear:
        lines.append("What waits is below review/ in the output: its header is clean, its pixels may show who it is.")
    if not report.reads_text:
        lines.append("No text could be read in pixels: tesseract isn't installed. Install it to have fewer wait.")
    lines.append(f"Profile {report.profile} ({report.profile_digest[:12]}), {report.software}, {report.edition}")
    lines.append("  " + ", ".join(report.options))
    lines.append("  " + ", ".join(f"{name} {count}" for name, count in sorted(report.actions.items())))
    if not kept_secret:
        lines.append("The secret of this run is forgotten: it can't go on, and no later one gives the same pseudonyms.")
    return "\n".join(lines)
