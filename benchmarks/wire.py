"""The wire alone: how many objects a second our Storage SCP takes, beside dcmtk's storescp and a pynetdicom SCP.

Each receiver is a process of its own that writes plain files, unflushed, and is sent the same objects by Debian's
storescu, in turns. Run as `python benchmarks/wire.py [--quick] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pydicom
from _bench import machine
from pydicom.uid import ExplicitVRLittleEndian

BIN = Path("/usr/bin")
CT = "1.2.840.10008.5.1.4.1.1.2"
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1", OMP_NUM_THREADS="1")
MEMORY_LIMIT_MB = 150


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `matrix` is the image's side in 16-bit pixels; 512 makes 535 KB."""

    name: str
    objects: int
    matrix: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Objects a second, the receiver's processor time for each in microseconds, and its peak memory in MB."""

    rate: float
    cpu: float
    memory: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer objects and turns; under 10 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--serve", choices=["ours", "pynetdicom"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        (serve_ours if options.serve == "ours" else serve_pynetdicom)(options.folder, options.port)
        return 0
    turns = 3 if options.quick else 7
    loads = [
        Load("535 KB", 200 if options.quick else 500, 512),
        Load("10 KB", 400 if options.quick else 1000, 64),
    ]
    rows = []
    for load in loads:
        for associations in (1, 4):
            rows.append(compare(load, associations, turns))
            show(rows[-1])
    table = {"machine": machine(), "rows": [row for pair in rows for row in pair]}
    print(table["machine"])
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))
    return 0


def compare(load: Load, associations: int, turns: int) -> list[dict[str, Any]]:
    """The receivers in turns; medians."""
    measured: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as folder:
        batches = make_objects(Path(folder) / "sent", load, associations)
        for _ in range(turns):
            for name, start in RECEIVERS.items():
                measured.setdefault(name, []).append(measure(start, batches, load.objects, Path(folder) / "got"))
    rate = {name: statistics.median(one.rate for one in results) for name, results in measured.items()}
    # storescp works in children that it doesn't wait for, so nothing tells what they took.
    seen = {name: results for name, results in measured.items() if name != "storescp"}
    cpu = {name: statistics.median(one.cpu for one in results) for name, results in seen.items()}
    memory = {name: max(one.memory for one in results) for name, results in seen.items()}
    what = f"{load.name} objects, {associations} associations"
    return [
        row(
            f"{what}: objects a second", rate, "objects/s", f"{rate['storescp']:.0f}", rate["ours"] >= rate["storescp"]
        ),
        row(f"{what}: the receiver's processor time for each", cpu, "us", "", None),
        row(f"{what}: peak memory", memory, "MB", f"{MEMORY_LIMIT_MB}", memory["ours"] < MEMORY_LIMIT_MB),
    ]


def row(name: str, values: dict[str, float], unit: str, target: str, met: bool | None) -> dict[str, Any]:
    peers = {peer: round(value, 1) for peer, value in values.items() if peer != "ours"}
    return {"name": name, "ours": round(values["ours"], 1), "peers": peers, "target": target, "met": met, "unit": unit}


def show(rows: list[dict[str, Any]]) -> None:
    for one in rows:
        ratios = ", ".join(f"{peer} {value} ({one['ours'] / value:.2f}x)" for peer, value in one["peers"].items())
        verdict = {True: "met", False: "NOT met", None: ""}[one["met"]]
        print(f"{one['name']}: ours {one['ours']} {one['unit']}; {ratios} {verdict}", flush=True)


def measure(start: Callable[[Path, int], list[str]], batches: list[Path], objects: int, folder: Path) -> Measured:
    """Send all batches at once, an association each."""
    folder.mkdir()
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    with receiver(start(folder, port), port) as process:
        before = cpu_seconds(process)
        began = time.monotonic()
        senders = [
            subprocess.Popen(
                [BIN / "storescu", "-aec", "WIRE", "+sd", "127.0.0.1", str(port), str(batch)], env=ENVIRONMENT
            )
            for batch in batches
        ]
        codes = [sender.wait() for sender in senders]
        took = time.monotonic() - began
        spent = cpu_seconds(process) - before
        memory = peak_memory(process)
    stored = sum(1 for _ in folder.iterdir())
    shutil.rmtree(folder)
    if any(codes) or stored != objects:
        raise SystemExit(f"{stored} of {objects} objects arrived; storescu ended with {codes}")
    return Measured(objects / took, spent / objects * 1e6, memory)


@contextmanager
def receiver(command: list[str], port: int) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended before it listened") from None
                time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_memory(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def make_objects(folder: Path, load: Load, associations: int) -> list[Path]:
    """CT-sized objects, in a folder for each association."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.Modality = CT, "CT"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.1", "1.2.999.2"
    dataset.PatientName, dataset.PatientID = "Benchmark", "1"
    dataset.Rows = dataset.Columns = load.matrix
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.ImageComments = "x" * 10000 if load.matrix == 512 else ""
    dataset.PixelData = bytes(2 * load.matrix * load.matrix)
    folders = [folder / str(number) for number in range(associations)]
    for one in folders:
        one.mkdir(parents=True)
    for number in range(load.objects):
        dataset.SOPInstanceUID = f"1.2.999.3.{number}"
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        (folders[number % associations] / f"{number}.dcm").write_bytes(buffer.getvalue())
    return folders


def start_storescp(folder: Path, port: int) -> list[str]:
    return [str(BIN / "storescp"), "--fork", "--bit-preserving", "+xa", "-od", str(folder), str(port)]


def start_ours(folder: Path, port: int) -> list[str]:
    return [sys.executable, __file__, "--serve", "ours", "--folder", str(folder), "--port", str(port)]


def start_pynetdicom(folder: Path, port: int) -> list[str]:
    return [sys.executable, __file__, "--serve", "pynetdicom", "--folder", str(folder), "--port", str(port)]


RECEIVERS = {"ours": start_ours, "storescp": start_storescp, "pynetdicom": start_pynetdicom}


def serve_ours(folder: Path, port: int) -> None:
    from wardround.dicom.header_meta import file_meta
    from wardround.dicom.network_messages import Accepted, StoreHeader
    from wardround.dicom.network_receive import StorageReceiver

    class Writing:
        def __init__(self, header: StoreHeader) -> None:
            self.path = folder / header.sop_instance_uid
            self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self.start = file_meta(header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid)

        def write(self, piece: memoryview | bytes) -> None:
            # The head goes with the first piece, as it would in one call.
            if self.start:
                os.writev(self.file, [self.start, piece])
                self.start = b""
            else:
                os.write(self.file, piece)

        def commit(self) -> Accepted:
            os.close(self.file)
            return Accepted()

        def abandon(self) -> None:
            os.close(self.file)
            self.path.unlink()

    class Files:
        def open(self, header: StoreHeader) -> Writing:
            return Writing(header)

    with StorageReceiver(["WIRE"], landing=Files(), port=port):
        signal.pause()


def serve_pynetdicom(folder: Path, port: int) -> None:
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

    def store(event: evt.Event) -> int:
        (folder / str(event.request.AffectedSOPInstanceUID)).write_bytes(event.encoded_dataset())
        return 0

    def at_once(event: evt.Event) -> None:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    entity = AE("WIRE")
    entity.maximum_pdu_size = 131072
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_CONN_OPEN, at_once)]
    entity.start_server(("127.0.0.1", port), evt_handlers=handlers)


if __name__ == "__main__":
    raise SystemExit(main())
