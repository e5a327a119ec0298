"""`wardround demo` from its options to its exit code."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from wardround.demo.federation import DemoFailed, DemoFederation
from wardround.demo.journey import Journey
from wardround.demo.links import write_link
from wardround.demo.memory import MemoryWatch
from wardround.demo.nifti import NiftiHospital
from wardround.demo.patients import DemoHospital
from wardround.demo.report import report
from wardround.demo.screen import TerminalScreen, print_summary
from wardround.demo.staff import new_password
from wardround.demo.wishes import Wishes
from wardround.foundation.files import write_whole
from wardround.learning.archive import unpack


def play(
    wishes: Wishes,
    *,
    home: Path | None = None,
    report_file: Path | None = None,
    export_model: Path | None = None,
    serve: bool = False,
) -> dict[str, Any]:
    """Play the whole journey and return its report; nothing is left running, and nothing outside `home`.

    Raises:
        DemoFailed: a step didn't succeed, or a folder that is named isn't empty.
        KeyboardInterrupt: Ctrl-C or SIGTERM; everything was stopped first.
    """
    for folder in (home, export_model):
        if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DemoFailed(f"{folder} isn't an empty folder; empty it or name another")
    hospitals = list(wishes.hospitals())
    with _folder(home) as place, TerminalScreen() as screen:
        federation = DemoFederation(place, [hospital.code for hospital in hospitals], pages=serve)
        if home is not None:
            _link(hospitals, place / "links")
        began = time.monotonic()
        with _interruptible():
            try:
                with MemoryWatch(federation.process_ids) as memory:
                    story = Journey(wishes, federation, hospitals, screen).play()
                found = report(federation, story, seconds=time.monotonic() - began)
                found["peak_memory_mb"] = {name: round(peak / 1e6) for name, peak in sorted(memory.peaks.items())}
                if report_file is not None:
                    write_whole(report_file, (json.dumps(found, indent=2) + "\n").encode(), mode=0o644)
                if export_model is not None:
                    export(federation, story.model, export_model)
                screen.__exit__()
                print_summary(screen.console, found, home)
                if serve:
                    _serve(federation, screen)
            finally:
                federation.stop()
    if not found["ledger"]["verified"]:
        raise DemoFailed("the ledger was not verified by everyone; see the report")
    return found


def export(federation: DemoFederation, model: str, target: Path) -> None:
    """Write a registered model as a MONAI Bundle."""
    from wardround.hub.registry.queries import object_behind

    hub = federation.hub
    if hub is None:
        raise DemoFailed("there is no hub to export from")
    with hub.database.reading() as session:
        archive = object_behind(session, model)
    if target.exists():
        target.rmdir()
    unpack(hub.objects.get(archive), target)


def _link(hospitals: Sequence[DemoHospital], folder: Path) -> None:
    """A link file for each hospital of a folder of patients, to load their records with afterwards."""
    for hospital in hospitals:
        if isinstance(hospital, NiftiHospital):
            folder.mkdir(mode=0o700, exist_ok=True)
            write_link(hospital, folder / f"{hospital.code}.csv")


def _serve(federation: DemoFederation, screen: TerminalScreen) -> None:
    screen.console.print("\nEverything stays up until Ctrl-C:", highlight=False)
    for name, address in federation.addresses().items():
        screen.console.print(f"  {name:<16} {address}", highlight=False, soft_wrap=True)
    password = new_password()
    people = federation.take_on_people(password)
    screen.console.print("\nPages, in a browser on this machine:", highlight=False)
    for name, address in federation.page_addresses().items():
        screen.console.print(f"  {name:<16} {address}", highlight=False, soft_wrap=True)
    screen.console.print(f"Sign in with the password [bold]{password}[/bold] and no code, as", highlight=False)
    for line in people:
        screen.console.print(f"  {line}", highlight=False, soft_wrap=True)
    while True:
        federation.check_alive()
        time.sleep(1)


@contextmanager
def _folder(home: Path | None) -> Iterator[Path]:
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        yield home.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="wardround-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demonstration as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
