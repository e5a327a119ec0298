"""Progress and the closing summary on a terminal, or plain lines where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

STEPS = 7


class Screen(Protocol):
    """Where progress is shown."""

    def step(self, number: int, title: str) -> None:
        """A new step begins."""

    def progress(self, done: float, total: float, note: str) -> None:
        """How far the present step has come."""

    def say(self, text: str) -> None:
        """One line to keep."""


class TerminalScreen:
    """Shows a bar for the present step and keeps a line for each that is done. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._bar: TaskID | None = None
        self._note = ""
        self._shown = ""

    def __enter__(self) -> TerminalScreen:
        self._bars.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._finish()
        self._bars.stop()

    def step(self, number: int, title: str) -> None:
        self._finish()
        self.console.print(f"[bold]{number}/{STEPS}[/bold] {title}", highlight=False)
        self._bar = self._bars.add_task("", total=None)

    def progress(self, done: float, total: float, note: str) -> None:
        self._note = note
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, description=note)

    def say(self, text: str) -> None:
        self.console.print(f"    {text}", highlight=False)

    def _finish(self) -> None:
        if self._note and self._note != self._shown:
            self.console.print(f"    {self._note}", highlight=False)
            self._shown = self._note
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


class SilentScreen:
    """Shows nothing; for tests."""

    def step(self, number: int, title: str) -> None:
        return

    def progress(self, done: float, total: float, note: str) -> None:
        return

    def say(self, text: str) -> None:
        return


def print_summary(console: Console, report: dict[str, Any], names: dict[str, str], home: Path | None) -> None:
    """The closing summary, on one screen."""
    table = Table(title="Dice over all held-out patients: alone, and together", title_justify="left")
    table.add_column("hospital", overflow="fold")
    for heading in ("studies", "alone, at home", "alone, everywhere", "together, here", "MB that left"):
        table.add_column(heading, justify="right")
    found = report["models"]
    for site, told in report["sites"].items():
        table.add_row(
            names.get(site, site),
            str(told["training_studies"] + told["validation_studies"]),
            _dice(found["local_at_home"].get(site)),
            _dice(found["local"].get(site)),
            _dice(found["federated"].get(site)),
            f"{told['bytes_out'] / 1e6:.1f}",
        )
    table.add_section()
    table.add_row("all", "", "", "", f"[bold]{found['federated']['mean']:.3f}[/bold]", "")
    console.print(table)
    run, ledger, clinic = report["run"], report["ledger"], report["clinic"]
    verified = "verified" if ledger["verified"] else "[bold red]NOT verified[/bold red]"
    console.print(
        f"Run      {len(run['rounds'])} rounds of {run['algorithm']} over {run['engine']} {run['engine_version']}; "
        f"no image, record or identifier left a hospital\n"
        f"Ledger   {ledger['entries']} entries, root {ledger['root'][:16]}…, {verified} by the hub and "
        f"{', '.join(ledger['witnesses'])}\n"
        f"Clinic   {clinic['seconds']:.1f} s from the last image to the result in the PACS; Dice {clinic['dice']:.3f}",
        highlight=False,
    )
    if home is not None:
        console.print(f"Kept     everything is in {home}", highlight=False)


def _dice(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['mean']:.3f}"
