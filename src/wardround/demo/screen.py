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


def print_summary(console: Console, report: dict[str, Any], home: Path | None) -> None:
    """The closing summary, on one screen of 80 columns."""
    table = Table(title="Mean Dice over held-out patients", title_justify="left", pad_edge=False)
    table.add_column("hospital", overflow="fold")
    for heading in ("studies", "alone,\nat home", "alone,\neverywhere", "together,\nat home", "MB\nthat left"):
        table.add_column(heading, justify="right")
    found = report["models"]
    for site, told in report["sites"].items():
        table.add_row(
            site,
            str(told["training_studies"] + told["validation_studies"]),
            _dice(found["local_at_home"].get(site)),
            _dice(found["local"].get(site)),
            _dice(found["federated"].get(site)),
            f"{told['bytes_out'] / 1e6:.1f}",
        )
    table.add_section()
    table.add_row("together, everywhere", "", "", "", f"[bold]{found['federated']['mean']:.3f}[/bold]", "")
    console.print(table)
    run, ledger, clinic, memory = report["run"], report["ledger"], report["clinic"], report["peak_memory_mb"]
    verified = "verified" if ledger["verified"] else "[bold red]NOT verified[/bold red]"
    nodes = max((peak for name, peak in memory.items() if name.startswith("node-")), default=0)
    for title, text in (
        (
            "Run",
            f"{len(run['rounds'])} rounds of {run['algorithm']} over {run['engine']} {run['engine_version']}; "
            "no image or identifier left",
        ),
        (
            "Ledger",
            f"{ledger['entries']} entries, root {ledger['root'][:16]}…, {verified} by hub, "
            f"{', '.join(ledger['witnesses'])}",
        ),
        (
            "Clinic",
            f"result in the PACS {clinic['seconds']:.1f} s after a new study's last image, Dice {clinic['dice']:.3f}",
        ),
        ("Machine", f"{report['seconds']:.0f} s; at most {memory.get('hub', 0)} MB for the hub, {nodes} MB for a node"),
        ("Kept", "nothing (name a folder with --home to look around)" if home is None else str(home)),
    ):
        console.print(f"[bold]{title:<8}[/bold] {text}", highlight=False)


def _dice(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['mean']:.3f}"
