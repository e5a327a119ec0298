"""`wardround demo`: the whole journey on one machine."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    home: Path | None = typer.Option(
        None, "--home", help="Folder for everything, empty or new, kept at the end; a temporary one if not given."
    ),
    data: Path | None = typer.Option(
        None, "--data", help="Real patients: a folder per hospital, <patient>_flair.nii.gz, <patient>_tumour.nii.gz."
    ),
    hospitals: int = typer.Option(4, "--hospitals", min=2, max=8, help="How many, without --data."),
    rounds: int | None = typer.Option(None, "--rounds", min=1, help="Rounds of training at most."),
    target: float | None = typer.Option(
        None, "--target", min=0.01, max=1.0, help="End the run once the mean Dice reaches this."
    ),
    seed: int = typer.Option(
        1, "--seed", min=0, help="Same seed, same patients, same split, same weights at the start."
    ),
    report: Path | None = typer.Option(None, "--report", help="Write what happened to this JSON file."),
    export_model: Path | None = typer.Option(
        None, "--export-model", help="Write the best federated model to this folder as a MONAI Bundle."
    ),
    small: bool = typer.Option(
        False,
        "--small",
        help="Six patients a hospital, in coarser images: sooner over. Not with --data.",
    ),
    serve: bool = typer.Option(
        False, "--serve", help="Leave everything up at the end, with pages; print addresses and accounts."
    ),
) -> None:
    """A hub and hospitals on this machine: join, de-identify, agree, train, verify, and read a new study."""
    from wardround.demo.nifti import DataRefused
    from wardround.demo.play import play
    from wardround.demo.wishes import Wishes
    from wardround.foundation.errors import WardroundError

    if small and data is not None:
        raise WardroundError("--small draws patients and --data brings them; name one of the two")
    wishes = Wishes(seed=seed, data=data, hospitals_wanted=hospitals, rounds=rounds, target=target)
    if small:
        wishes = wishes.smaller()
    try:
        play(wishes, home=home, report_file=report, export_model=export_model, serve=serve)
    except DataRefused as error:
        raise WardroundError(str(error)) from None
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing is left running.", err=True)
        raise typer.Exit(130 if not serve else 0) from None
