"""From the last byte of a CT to "de-identified, indexed, ready": how long a study takes through a whole node.

A study of 324 slices of 535 KB is sent by Debian's storescu, on one association, to a real node (`wardround node
serve` as it is installed, acknowledging only what is on the disk) and to Orthanc, which stores and does no more. The
time runs from storescu's last C-STORE response to the moment when every instance is de-identified and indexed and
cohorts see the study. The node waits for QUIET seconds of silence before it holds a study for complete; they count.

MONAI Deploy's gateway isn't measured here; the figure beside it is what was measured for such a study elsewhere.

Run as `python benchmarks/ready.py [--quick] [--json FILE] [--workers N]`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
from _bench import family_cpu, machine, orthanc_settings
from pydicom.uid import ExplicitVRLittleEndian

STORESCU = "/usr/bin/storescu"
ORTHANC = "/usr/sbin/Orthanc"
CT = "1.2.840.10008.5.1.4.1.1.2"
SLICES = 324
QUIET = 0.5
TARGET = 2.0
MONAI_DEPLOY = "14 to 34 s for a 324-slice CT, store and forward (measured elsewhere, not in this run)"
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1", OMP_NUM_THREADS="1")
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds: sending, and from the last response to ready. Processor seconds of all the node's processes; their
    resident memory together at the end, in MB."""

    sending: float
    ready: float
    cpu: float
    memory: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns; under 10 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--workers", type=int, default=0, help="processes that de-identify; 0 is the node's default")
    options = parser.parse_args(arguments)
    turns = 3 if options.quick else 7
    began = machine()
    ours: list[Measured] = []
    orthanc: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        node(Path(folder), options.workers) as (home, port, process),
        peer(Path(folder) / "orthanc") as peer_port,
    ):
        for turn in range(turns + 1):
            files = make_study(Path(folder) / "sent", turn)
            measured = through_node(home, port, process, files)
            stored, _ = send(files, peer_port, "ORTHANC")
            if turn:  # the first warms both up
                ours.append(measured)
                orthanc.append(stored)
            shutil.rmtree(files)
    ready = statistics.median(one.ready for one in ours)
    whole = statistics.median(one.sending + one.ready for one in ours)
    rows = [
        row("last response to ready", ready, {"MONAI Deploy": MONAI_DEPLOY}, f"< {TARGET}", ready < TARGET, "s"),
        row("first byte to ready (Orthanc: to stored)", whole, {"Orthanc": statistics.median(orthanc)}, "", None, "s"),
        row(
            "sending",
            statistics.median(o.sending for o in ours),
            {"Orthanc": statistics.median(orthanc)},
            "",
            None,
            "s",
        ),
        row("processor time for the study", statistics.median(one.cpu for one in ours), {}, "", None, "s"),
        row("memory of all processes", max(one.memory for one in ours), {}, "", None, "MB"),
    ]
    print(f"{SLICES} slices of 535 KB, {turns} turns, medians; {QUIET} s of quiet are part of it")
    for one in rows:
        peers = "; ".join(f"{name} {value}" + ratio(value, one["ours"]) for name, value in one["peers"].items())
        verdict = {True: "met", False: "NOT met", None: ""}[one["met"]]
        print(f"{one['name']}: ours {one['ours']} {one['unit']}; {peers} {one['target']} {verdict}")
    print("last response to ready, each turn: " + ", ".join(f"{one.ready:.2f}" for one in ours))
    print(f"{began} to {machine()}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    return 0


def row(name: str, ours: float, peers: dict[str, Any], target: str, met: bool | None, unit: str) -> dict[str, Any]:
    rounded = {peer: round(value, 2) if isinstance(value, float) else value for peer, value in peers.items()}
    return {"name": name, "ours": round(ours, 2), "peers": rounded, "target": target, "met": met, "unit": unit}


def ratio(theirs: object, ours: float) -> str:
    return f" ({ours / theirs:.2f}x)" if isinstance(theirs, float) and theirs else ""


@contextmanager
def node(folder: Path, workers: int) -> Iterator[tuple[Path, int, psutil.Process]]:
    """A hub, a node that joined it, and the node's process."""
    from wardround.demo.federation import DemoFederation, free_ports, quiet_environment
    from wardround.foundation.clock import now
    from wardround.hub.sites.actions import invite
    from wardround.node.membership.actions import join
    from wardround.node.settings import DicomSettings

    federation = DemoFederation(folder / "federation", ["site"])
    hub = federation.found()
    with hub.database.writing() as session:
        token = invite(session, hub, "site", actor="operator:benchmark", now=now())
    home = folder / "federation" / "node-site"
    port = free_ports(1)[0]
    join(token, home, actor="operator:benchmark", dicom=DicomSettings(port=port, quiet_seconds=QUIET)).close()
    if workers:
        with (home / "node.toml").open("a") as settings:
            settings.write(f"\n[deidentification]\nworkers = {workers}\n")
    command = [sys.executable, "-m", "wardround", "node", "serve", "--home", str(home), "--ready-file", f"{home}/ready"]
    process = subprocess.Popen(command, env=ENVIRONMENT | quiet_environment(), stdout=subprocess.DEVNULL)
    try:
        until(lambda: (home / "ready").exists() or process.poll() is not None)
        yield home, port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        federation.stop()


@contextmanager
def peer(folder: Path, title: str = "ORTHANC", **more: Any) -> Iterator[int]:
    """An Orthanc that takes from this machine alone, and has no HTTP; its port. more: settings of it."""
    folder.mkdir()
    with closing(socket.socket()) as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    (folder / "orthanc.json").write_text(json.dumps(orthanc_settings(title, port, folder / "db", **more)))
    process = subprocess.Popen(
        [ORTHANC, folder / "orthanc.json"], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: listens(port) or process.poll() is not None)
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(done: Any) -> float:
    """Wait for `done`, looking every 5 ms; returns the moment."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("gave up waiting")
        time.sleep(0.005)
    return time.monotonic()


def through_node(home: Path, port: int, process: psutil.Process, files: Path) -> Measured:
    with closing(sqlite3.connect(f"file:{home / 'node.db'}?mode=ro", uri=True, timeout=30)) as database:
        before = database.execute("SELECT count(*) FROM enclave_instances").fetchone()[0]
        spent = family_cpu(process)
        began = time.monotonic()
        _, last = send(files, port, "WARDROUND")

        def ready() -> bool:
            count = database.execute("SELECT count(*) FROM enclave_instances").fetchone()[0]
            still = database.execute("SELECT count(*) FROM enclave_open_studies").fetchone()[0]
            refused = database.execute("SELECT min(reason) FROM received_instances WHERE state = 'refused'").fetchone()
            if refused[0]:
                raise SystemExit(f"the node refused a slice: {refused[0]}")
            return bool(count == before + SLICES and still == 0)

        moment = until(ready)
    family = [process, *process.children(recursive=True)]
    memory = sum(one.memory_info().rss for one in family) / 1e6
    return Measured(last - began, moment - last, family_cpu(process) - spent, memory)


def send(files: Path, port: int, title: str, expected: int = SLICES) -> tuple[float, float]:
    """Send a folder of so many; seconds until the last response, and the moment of it."""
    began = time.monotonic()
    command = [STORESCU, "-v", "-aec", title, "+sd", "127.0.0.1", str(port), str(files)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last, responses = began, 0
    for line in process.stdout or ():
        if "Received Store Response (Success)" in line:
            last, responses = time.monotonic(), responses + 1
    if process.wait() or responses != expected:
        raise SystemExit(f"{responses} of {expected} slices were taken; storescu ended with {process.returncode}")
    return last - began, last


def make_study(folder: Path, number: int) -> Path:
    """A CT with the header of a scanner: descriptions, names of people, times, sequences, private elements."""
    folder.mkdir()
    noise = np.random.default_rng(number)
    for position in range(SLICES):
        ds = slice_of(number, position)
        ds.PixelData = noise.integers(0, 4096, 512 * 512, dtype=np.uint16).tobytes()
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
        (folder / f"{position:04}.dcm").write_bytes(buffer.getvalue())
    return folder


def slice_of(study: int, position: int) -> pydicom.Dataset:
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    root = f"1.2.826.0.1.3680043.8.498.{study}"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20250614"
    ds.InstanceCreationTime = ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101530.250000"
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"{root}.2.{position}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{root}.0", f"{root}.1", f"{root}.3"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = f"A{study:06}", "CT", "BENCHMARK MEDICAL"
    ds.InstitutionName, ds.InstitutionAddress, ds.StationName = "Royal Benchmark", "1 High Street", "CT01"
    ds.ReferringPhysicianName, ds.PerformingPhysicianName, ds.OperatorsName = "Ref^Doc", "Perf^Doc", "Op^One"
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "CT THORAX", "1.0 AXIAL", "THORAX ROUTINE"
    ds.ManufacturerModelName, ds.DeviceSerialNumber, ds.SoftwareVersions = "BENCH 64", "123456", "VA1"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = f"Aster^Willow{study}", f"Q{study:07}", "RBH"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge, ds.PatientWeight = "19610203", "F", "064Y", "71.5"
    ds.BodyPartExamined, ds.PatientPosition, ds.KVP, ds.Exposure = "CHEST", "HFS", "120", "150"
    ds.SliceThickness, ds.SpacingBetweenSlices, ds.GantryDetectorTilt, ds.TableHeight = "1.0", "1.0", "0", "150"
    ds.ConvolutionKernel, ds.ExposureTime, ds.XRayTubeCurrent, ds.FilterType = "B30f", "500", "300", "FLAT"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", "2", "1", str(position + 1)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = (
        ["-180", "-180", str(position)],
        ["1", "0", "0", "0", "1", "0"],
    )
    ds.SliceLocation, ds.PixelSpacing = str(position), ["0.703125", "0.703125"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 512, 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = (
        ["40", "-600"],
        ["400", "1500"],
        "-1024",
        "1",
    )
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, f"{root}.4"
    ds.ReferencedImageSequence = [reference]
    request = pydicom.Dataset()
    request.RequestedProcedureDescription, request.ScheduledProcedureStepID = "CT THORAX", "S1"
    ds.RequestAttributesSequence = [request]
    block = ds.private_block(0x0019, "BENCH HEADER", create=True)
    for element in range(0x10, 0x30):
        block.add_new(element, "LO", f"private {element} of Aster^Willow{study}")
    block.add_new(0x40, "OB", bytes(8192))
    return ds


if __name__ == "__main__":
    raise SystemExit(main())
