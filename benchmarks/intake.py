"""The front door: objects a second that the node acknowledges, beside storescp, Orthanc and a pynetdicom SCP.

The same 500 CT-sized objects (535 KB, distinct UIDs) are sent by Debian's storescu, on 1 and on 4 associations, to one
receiver after the other, in turns whose order moves on by one each time. What is told are medians; a target is judged
by the median of the ratios, turn by turn, since a disk's pace changes within minutes. Each receiver starts with an
empty folder, and what the one before left unwritten is flushed first. Ours is what the node has at its door on two
cores, two receiving processes and the one that writes the index; de-identification doesn't run, as it doesn't in the
peers. Peak memory is that of all its processes, added up.
The whole node, which de-identifies on the same cores meanwhile, is measured for information.

Like is put beside like. *Flushed*: ours acknowledges only what is on the disk; Orthanc runs with SyncStorageArea, its
default; storescp has no such thing and is given a shim that flushes each file when it is closed; pynetdicom's handler
flushes. *Unflushed*: each of them without.

Ours acknowledges what is durable and registers it a moment later, so a short burst may be over before that work is
done. *Sustained* sends many more objects and tells both: acknowledged a second, and registered a second, the clock
running until the index has every one of them. Processor time is that of a receiver and its children, once until the
last answer, and once of all the work, registering included. Small objects (10 KB) are sent to ours and to storescp.

Run as `python benchmarks/intake.py [--quick] [--json FILE]`, on a machine that does nothing else. It needs dcmtk;
Orthanc and gcc where they are there, and it says what is left out without them. Not measured: TLS, more associations,
a power cut, and what a peer's database costs it later.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wire
from _bench import emptied, family_cpu, family_memory, machine, orthanc_settings
from _intake_ours import TITLE
from wire import Load

ORTHANC = Path("/usr/sbin/Orthanc")
OURS_ALONE = Path(__file__).with_name("_intake_ours.py")
OF_STORESCP, OF_ORTHANC, MEMORY_MB = 1.0, 3.0, 150
INDEXES = ("node.db", "index")
LOOKS_EVERY = 0.05
"""Seconds between two looks into our index."""
PATIENCE = 120.0

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static void flush(int fd) {
    struct stat is;
    int mode = fcntl(fd, F_GETFL);
    if (mode >= 0 && (mode & O_ACCMODE) != O_RDONLY && fstat(fd, &is) == 0 && S_ISREG(is.st_mode)) fsync(fd);
}
int close(int fd) {
    static int (*next)(int);
    if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, "close");
    flush(fd);
    return next(fd);
}
int fclose(FILE *file) {
    static int (*next)(FILE *);
    if (!next) next = (int (*)(FILE *))dlsym(RTLD_NEXT, "fclose");
    fflush(file);
    flush(fileno(file));
    return next(file);
}
"""

Start = Callable[[Path, int], list[str]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Objects acknowledged a second, objects in the index a second, processor time for each in ms, until the last
    answer and of all the work, peak memory in MB.

    A peer's index, if it has one, is written before it acknowledges.
    """

    rate: float
    registered: float
    answering: float
    cpu: float
    memory: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer objects and turns; under 10 minutes")
    parser.add_argument("--objects", type=int, help="another number of objects")
    parser.add_argument("--turns", type=int, help="another number of turns")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="only receivers whose name has one of these in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--serve", choices=["pynetdicom"], help=argparse.SUPPRESS)
    parser.add_argument("--flushed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve_pynetdicom(options.folder, options.port, durable=options.flushed)
        return 0
    objects = options.objects or 500
    turns = options.turns or (5 if options.quick else 11)
    print(f"{objects} objects of 535 KB, {turns} turns; {machine()}", flush=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made:
        bench = Bench(Path(made), options.only)
        for left_out in bench.left_out:
            print(f"left out: {left_out}", flush=True)
        for associations in (1, 4):
            rows += bench.show(associations, Load("535 KB", objects, 512), turns, node=True)
        few = (turns + 1) // 3
        for associations in (1, 4):
            rows += bench.show(associations, Load("10 KB", 2 * objects, 64), few, peers=("ours", "storescp"))
        for associations in (1, 4):
            load = Load("535 KB, sustained", 3 * objects, 512)
            peers = ("ours flushed", "storescp flushed", "Orthanc flushed")
            rows += bench.show(associations, load, few, peers=peers, sustained=True)
    table = {"machine": machine(), "rows": rows}
    print(f"at the end: {table['machine']}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))
    return 0


class Bench:
    """The receivers, and the folder that they all work in."""

    def __init__(self, folder: Path, only: Sequence[str] | None) -> None:
        self._folder = folder
        self._starts = receivers(folder)
        self._only = only

    @property
    def left_out(self) -> list[str]:
        """What isn't measured here, and why."""
        absent = [] if "Orthanc flushed" in self._starts else ["Orthanc, which isn't installed"]
        if "storescp flushed" not in self._starts:
            absent.append("storescp that flushes, which needs gcc: nothing is as durable as ours is flushed")
        return absent

    def show(
        self,
        associations: int,
        load: Load,
        turns: int,
        *,
        peers: Sequence[str] = ("",),
        node: bool = False,
        sustained: bool = False,
    ) -> list[dict[str, Any]]:
        """Measure and print the rows of one load; ``peers`` are the beginnings of the receivers' names. With ``node``
        the whole node is measured too; that load is the one that has targets."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        starts = {name: start for name, start in self._starts.items() if name.startswith(tuple(peers))}
        if self._only:
            starts = {name: start for name, start in starts.items() if any(one in name for one in self._only)}
        batches = wire.make_objects(folder / "sent", load, associations)
        measured: dict[str, list[Measured]] = {}
        for turn in range(turns):
            for number, name in enumerate((list(starts) * 2)[turn % len(starts) :][: len(starts)]):
                if turn and turn % SELDOM and name.startswith(UNTARGETED):
                    continue
                into = folder / f"{turn}.{number}"
                one = measure(starts[name], batches, load, into, indexed=OURS in name)
                measured.setdefault(name, []).append(one)
            if node and not self._only and turn % SELDOM == 0:
                measured.setdefault(NODE, []).append(through_node(batches, load.objects, folder / f"node{turn}"))
        emptied(folder / "sent")
        what = f"{load.name}, {associations} association{'s' * (associations > 1)}"
        return show(what, measured, sustained=sustained, targeted=node)


OURS = "ours"
UNTARGETED = "pynetdicom"
"""Slow, and no target: it and the whole node are measured every `SELDOM` turns."""
SELDOM = 4
NODE = "ours, the whole node, flushed"


def receivers(folder: Path) -> dict[str, Start]:
    """How each receiver is started; each twice, flushed and unflushed."""

    def own(how: str) -> Start:
        return lambda into, port: [sys.executable, str(OURS_ALONE), str(into), str(port), how]

    def pynetdicom(*flushed: str) -> Start:
        command = [sys.executable, __file__, "--serve", "pynetdicom", *flushed]
        return lambda into, port: [*command, "--folder", str(into), "--port", str(port)]

    found: dict[str, Start] = {"ours flushed": own("flushed")}
    if shutil.which("gcc"):
        library = folder / "flushing.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O2", "-xc", "-", "-o", str(library), "-ldl"], input=SHIM.encode(), check=True
        )
        found["storescp flushed"] = lambda into, port: [
            "/usr/bin/env",
            f"LD_PRELOAD={library}",
            *wire.start_storescp(into, port),
        ]
    if ORTHANC.exists():
        found["Orthanc flushed"] = lambda into, port: orthanc(into, port, flushed=True)
    found["pynetdicom flushed"] = pynetdicom("--flushed")
    found["ours unflushed"] = own("unflushed")
    found["storescp unflushed"] = wire.start_storescp
    if ORTHANC.exists():
        found["Orthanc unflushed"] = lambda into, port: orthanc(into, port, flushed=False)
    found["pynetdicom unflushed"] = pynetdicom()
    return found


def show(what: str, measured: dict[str, list[Measured]], *, sustained: bool, targeted: bool) -> list[dict[str, Any]]:
    def medians(of: Callable[[Measured], float]) -> dict[str, float]:
        return {name: statistics.median(of(one) for one in taken) for name, taken in measured.items()}

    rate, registered = medians(lambda one: one.rate), medians(lambda one: one.registered)
    answering, cpu = medians(lambda one: one.answering), medians(lambda one: one.cpu)
    rows = []
    for how in ("flushed", "unflushed"):
        if f"{OURS} {how}" not in rate:
            continue
        wanted = {"storescp": OF_STORESCP, "Orthanc": OF_ORTHANC}
        ours, peers = beside(rate, how)
        for peer, value in peers.items():
            factor = wanted.get(peer) if targeted else None
            turns = ratios(measured[f"{OURS} {how}"], measured[f"{peer} {how}"])
            middle = statistics.median(turns) if turns else 0.0
            target, met = ("", None) if factor is None else (f">= {factor} x", middle >= factor)
            one = row(f"{what}, {how}: acknowledged", ours, {peer: value}, "objects/s", target, met)
            rows.append(one | {"ratio": round(middle, 3), "ratios": [round(each, 3) for each in turns]})
        if sustained:
            ours, peers = beside(registered, how)
            rows.append(row(f"{what}, {how}: registered", ours, peers, "objects/s"))
        for name, values in (("processor time until answered", answering), ("processor time of all work", cpu)):
            ours, peers = beside(values, how)
            rows.append(row(f"{what}, {how}: {name}", ours, peers, "ms"))
        memory = max(one.memory for one in measured[f"{OURS} {how}"])
        rows.append(row(f"{what}, {how}: peak memory", memory, {}, "MB", f"< {MEMORY_MB}", met=memory < MEMORY_MB))
    if "ours flushed" in rate and "storescp unflushed" in rate:
        unlike = {"storescp unflushed": rate["storescp unflushed"]}
        rows.append(row(f"{what}: ours flushed beside storescp unflushed", rate["ours flushed"], unlike, "objects/s"))
    if NODE in rate:
        rows.append(row(f"{what}, flushed: the whole node, de-identifying", rate[NODE], {}, "objects/s"))
        memory = max(one.memory for one in measured[NODE])
        rows.append(row(f"{what}: peak memory of the whole node's serving process", memory, {}, "MB"))
    for one in rows:
        told = ", ".join(f"{peer} {value} ({one['ours'] / value:.2f} x)" for peer, value in one["peers"].items())
        if one.get("ratios"):
            told += f", by turns {one['ratio']:.2f} x ({min(one['ratios']):.2f} to {max(one['ratios']):.2f})"
        verdict = {True: "met", False: "NOT met", None: ""}[one["met"]]
        line = [f"{one['name']:<66}", f"{one['ours']:>7} {one['unit']:<9}", told, one["target"], verdict]
        print("  ".join(part for part in line if part), flush=True)
    return rows


def ratios(ours: list[Measured], theirs: list[Measured]) -> list[float]:
    """How many times a peer's objects a second are ours, turn by turn; none where it wasn't in every turn."""
    return [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)] if len(ours) == len(theirs) else []


def beside(values: dict[str, float], how: str) -> tuple[float, dict[str, float]]:
    """Our value, and those of the peers that are as durable."""
    peers = {name.removesuffix(f" {how}"): value for name, value in values.items() if name.endswith(f" {how}")}
    return peers.pop(OURS), {name: value for name, value in peers.items() if not name.startswith(OURS)}


def row(
    name: str, ours: float, peers: dict[str, float], unit: str, target: str = "", met: bool | None = None
) -> dict[str, Any]:
    rounded = {peer: round(value, 2) for peer, value in peers.items()}
    return {"name": name, "ours": round(ours, 2), "peers": rounded, "target": target, "met": met, "unit": unit}


def measure(start: Start, batches: list[Path], load: Load, folder: Path, *, indexed: bool) -> Measured:
    """Send all batches at once, an association each, to a receiver of its own."""
    folder.mkdir()
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    command = start(folder, port)
    os.sync()
    objects = load.objects
    with wire.receiver(command, port) as process:
        before = family_cpu(process)
        began = time.monotonic()
        sent(batches, port, TITLE)
        took = registered = time.monotonic() - began
        answering = family_cpu(process) - before
        if indexed:
            registered = until_registered(folder / "node.db", objects) - began
        memory = family_memory(process)
        # What is done after the last answer counts as well.
        time.sleep(0.5)
        spent = family_cpu(process) - before
    held(folder, objects, at_least=load.matrix * load.matrix * 2)
    emptied(folder)
    return Measured(objects / took, objects / registered, answering / objects * 1e3, spent / objects * 1e3, memory)


def until_registered(index: Path, objects: int) -> float:
    """The moment when our index has as many objects."""
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
        until = time.monotonic() + PATIENCE
        while connection.execute("SELECT count(*) FROM received_instances").fetchone()[0] < objects:
            if time.monotonic() > until:
                raise SystemExit("not everything that was acknowledged got into the index")
            time.sleep(LOOKS_EVERY)
    return time.monotonic()


def sent(batches: list[Path], port: int, title: str) -> float:
    """Send; the seconds until the last sender has ended."""
    began = time.monotonic()
    senders = [
        subprocess.Popen(
            [wire.BIN / "storescu", "-aec", title, "+sd", "127.0.0.1", str(port), str(batch)], env=wire.ENVIRONMENT
        )
        for batch in batches
    ]
    codes = [sender.wait() for sender in senders]
    took = time.monotonic() - began
    if any(codes):
        raise SystemExit(f"storescu ended with {codes}")
    return took


def held(folder: Path, objects: int, *, at_least: int) -> None:
    """End here unless the folder holds each object once, in a file that isn't smaller; one that has two names is one
    file, and an index is none."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(INDEXES)]
    found = {is_.st_ino for file in files if (is_ := file.stat()).st_size > at_least}
    if len(found) != objects:
        raise SystemExit(f"{len(found)} of {objects} objects are there")


def through_node(batches: list[Path], objects: int, folder: Path) -> Measured:
    """The same to `wardround node serve`, a node that joined a hub, all its processes on these cores."""
    import ready

    folder.mkdir()
    os.sync()
    with ready.node(folder, 0) as (_, port, process):
        took = sent(batches, port, "WARDROUND")
        memory = wire.peak_memory(process)
    emptied(folder)
    return Measured(objects / took, 0.0, 0.0, 0.0, memory)


def orthanc(folder: Path, port: int, *, flushed: bool) -> list[str]:
    """An Orthanc that takes from this machine alone, and has no HTTP."""
    configuration = orthanc_settings(TITLE, port, folder / "storage", SyncStorageArea=flushed)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    return [str(ORTHANC), str(folder / "orthanc.json")]


def serve_pynetdicom(folder: Path, port: int, *, durable: bool) -> None:
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

    def store(event: evt.Event) -> int:
        with (folder / str(event.request.AffectedSOPInstanceUID)).open("wb") as file:
            file.write(event.encoded_dataset())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        return 0

    def at_once(event: evt.Event) -> None:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    entity = AE(TITLE)
    entity.maximum_pdu_size = 131072
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_CONN_OPEN, at_once)]
    entity.start_server(("127.0.0.1", port), evt_handlers=handlers)


if __name__ == "__main__":
    raise SystemExit(main())
