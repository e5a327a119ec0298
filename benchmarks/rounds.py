"""A round of federated averaging beside others: seconds, bytes and the hub's memory, with four sites on loopback.

Every side has a hub and four sites in processes of their own, mutual TLS or TLS between them, and no training: a site
answers at once with weights that are a little moved. Sides take turns within one run; medians are printed. Flower has
an environment of its own, made in `build` where the package index can be reached. The part `2gb` is ours alone: a model
of 2 GB goes to two sites and back once, and what matters is the memory. Run as
`python benchmarks/rounds.py [--quick] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from _bench import family_cpu, machine
from _rounds import Setting
from _rounds_ours import identities

PATIENCE = 900.0
TARGETS = {0: 0.1, 30: 1.2, 300: 10.0}
SIDES = ["ours", "grpc", "flare", "flower"]
LIVE = ("ours", "grpc")
"""Sides that tell of a round when it ends, so that its processor time can be told from that of the start."""


@dataclass
class Outcome:
    """Of one turn. `cpu`: processor seconds of a round in all processes together, the first one left out; None where it
    can't be told. `memory`: the most that the hub's processes held together beyond what they held when the sites had
    connected, a page that several of them share counted once (the kernel's PSS); `files` is how much of what they held
    then is pages of files."""

    seconds: list[float] = field(default_factory=list)
    first_step: float = 0.0
    cpu: float | None = None
    up: int = 0
    down: int = 0
    memory: int = 0
    files: int = 0


class Child:
    """A process of a side; its lines are JSON."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)},
        )
        self.lines: list[dict[str, Any]] = []
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            if line.startswith(b"{"):
                told = json.loads(line)
                self.lines.append(told)
                self._news.put(told)
        self._news.put(None)

    def expect(self, *what: str, patience: float = PATIENCE) -> dict[str, Any]:
        until = time.monotonic() + patience
        while True:
            told = self._news.get(timeout=max(0.0, until - time.monotonic()))
            if told is None:
                raise SystemExit(f"{self.process.args} ended; see {self._log.name}")
            if told["what"] in what:
                return told

    def go(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)] if self.alive() else []
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for one in family[1:]:
            if isinstance(one, psutil.Process) and one.is_running():
                one.kill()
        self._log.close()

    def alive(self) -> bool:
        return self.process.poll() is None


class Memory:
    """Watches what a family of processes holds."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self.most = self.files = 0
        self.base, _ = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _now(self) -> tuple[int, int]:
        held = files = 0
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0, 0
        for one in family:
            try:
                lines = Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # it ended meanwhile
                continue
            values = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Pss")}
            held += values.get("Pss", 0) * 1024
            files += values.get("Pss_File", 0) * 1024
        return held, files

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            held, files = self._now()
            if held > self.most:
                self.most, self.files = held, files

    def end(self) -> tuple[int, int]:
        self._over.set()
        self._thread.join()
        return self.most, self.files


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def family(side: str, setting: Setting, folder: Path) -> Iterator[tuple[Child, list[Child]]]:
    """The hub's process and the sites'."""
    port = free_port()
    command = [sys.executable, __file__, "--side", side, "--setting", setting.text(), "--port", str(port)]
    children = [Child([*command, "--serve", "hub", "--folder", str(folder / "hub")], folder / "hub.log")]
    try:
        if side in ("grpc", "flower"):
            children[0].expect("listening")
        for site in setting.sites:
            children.append(
                Child([*command, "--serve", "site", "--folder", str(folder / site)], folder / f"{site}.log")
            )
        yield children[0], children[1:]
    finally:
        for child in children:
            child.stop()


def measure(side: str, setting: Setting, folder: Path) -> Outcome:
    identities(folder / "pki", setting.sites)
    with family(side, setting, folder) as (hub, sites):
        hub.expect("ready")
        memory = Memory(hub.process.pid)
        hub.go()
        started = hub.expect("started")["at"]
        spent: list[float] = []
        while (ended := hub.expect("round", "ended"))["what"] == "round":
            spent.append(sum(family_cpu(psutil.Process(child.process.pid)) for child in (hub, *sites)))
        rounds = [line for line in hub.lines if line["what"] == "round"]
        if len(rounds) != setting.rounds:
            raise SystemExit(f"{side}: {len(rounds)} of {setting.rounds} rounds; {ended}")
        ends = [line["at"] for line in rounds]
        held, files = memory.end()
        steps = [line["at"] for child in (hub, *sites) for line in child.lines if line["what"] == "step"]
    return Outcome(
        # Of one round alone: from the first site that had the model.
        seconds=[later - before for before, later in itertools.pairwise(ends)] or [ends[0] - min(steps)],
        first_step=min(steps) - started if steps else 0.0,
        cpu=(spent[-1] - spent[0]) / (len(spent) - 1) if side in LIVE and len(spent) > 1 else None,
        up=rounds[-1]["up"],
        down=rounds[-1]["down"],
        memory=held - memory.base,
        files=files,
    )


def serve(options: argparse.Namespace) -> None:
    setting, folder = Setting.read(options.setting), options.folder
    if options.side == "ours":
        import _rounds_ours as side
    elif options.side == "grpc":
        import _rounds_grpc as side  # type: ignore[no-redef]
    elif options.side == "flower":
        import _rounds_flower as side  # type: ignore[no-redef]
    else:
        import _rounds_flare as side  # type: ignore[no-redef]
    (side.serve_hub if options.serve == "hub" else side.serve_site)(setting, folder, options.port)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns and rounds; under 10 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--only", nargs="+", help="these sides or parts alone", choices=[*SIDES, "2gb"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[0, 30, 300], help="megabytes of the models")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=["hub", "site"], help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options)
        return 0
    parts = options.only or [*SIDES, "2gb"]
    sides = [part for part in parts if part in SIDES]
    if "flower" in sides:
        from _rounds_flower import ready

        if why := ready():
            print(why)
            sides.remove("flower")
    rounds = {0: 8, 30: 3, 300: 2} if options.quick else {0: 20, 30: 6, 300: 3}
    rows: list[dict[str, Any]] = []
    for megabytes in options.sizes if sides else []:
        setting = Setting(megabytes, rounds.get(megabytes, 3))
        outcomes: dict[str, list[Outcome]] = {}
        for turn in range(1 if options.quick else 3):
            for side in sides:
                outcomes.setdefault(side, []).append(one_turn(side, setting, options.keep, f"{megabytes}-{turn}"))
        rows += compared(megabytes, outcomes)
    if "2gb" in parts:
        once = one_turn("ours", Setting(2000, 1, ("site-a", "site-b")), options.keep, "2gb")
        held = {"ours": once.memory / 1e6}
        rows.append(row("2 GB, two sites, once: the hub's memory beyond an idle hub's", held, "MB", 2000.0))
    for line in rows:
        print(line)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    return 0


def one_turn(side: str, setting: Setting, keep: Path | None, name: str) -> Outcome:
    """Measure, and print what was measured."""
    with tempfile.TemporaryDirectory(prefix="rounds-") as folder:
        where = keep / f"{side}-{name}" if keep else Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        one = measure(side, setting, where)
    cpu = "" if one.cpu is None else f"{one.cpu:.2f} processor seconds, "
    print(
        f"{side} {setting.megabytes} MB: {statistics.median(one.seconds):.3f} s a round "
        f"({' '.join(f'{s:.2f}' for s in one.seconds)}), {cpu}first step {one.first_step:.2f} s, "
        f"memory {one.memory / 1e6:.0f} MB (files {one.files / 1e6:.0f}), up {one.up / 1e6:.1f}, "
        f"down {one.down / 1e6:.1f}; {machine()}",
        flush=True,
    )
    return one


def compared(megabytes: int, outcomes: dict[str, list[Outcome]]) -> list[dict[str, Any]]:
    """Medians over the turns, with the target of ours."""
    seconds = {
        side: statistics.median(second for one in turns for second in one.seconds) for side, turns in outcomes.items()
    }
    known = {side: [one.cpu for one in turns if one.cpu is not None] for side, turns in outcomes.items()}
    cpu = {side: statistics.median(found) for side, found in known.items() if found}
    memory = {side: statistics.median(one.memory for one in turns) / 1e6 for side, turns in outcomes.items()}
    first = {side: statistics.median(one.first_step for one in turns) for side, turns in outcomes.items()}
    up = {side: statistics.median(one.up for one in turns) / 1e6 for side, turns in outcomes.items()}
    return [
        row(f"{megabytes} MB: a round", seconds, "s", TARGETS.get(megabytes)),
        row(f"{megabytes} MB: a round's processor time, all processes together", cpu, "s", None),
        row(f"{megabytes} MB: from submission to the first local step", first, "s", 3.0),
        row(f"{megabytes} MB: the hub's memory beyond an idle hub's", memory, "MB", 3.0 * megabytes or None),
        row(f"{megabytes} MB: up, four sites together", up, "MB", None),
    ]


def row(name: str, values: dict[str, float], unit: str, target: float | None) -> dict[str, Any]:
    rounded = {side: round(value, 3) for side, value in values.items()}
    ours = rounded.pop("ours", None)
    met = None if target is None or ours is None else ours < target
    return {"name": name, "ours": ours, "peers": rounded, "target": target, "met": met, "unit": unit}


if __name__ == "__main__":
    raise SystemExit(main())
