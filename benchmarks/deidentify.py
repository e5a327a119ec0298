"""De-identification beside its peers: objects per second of processor time, how processes scale, and what leaks.

`python benchmarks/deidentify.py [--quick] [--json FILE]`. 200 CT slices of 535 KB, all in memory, interleaved,
medians of five rounds, of three where it is to be quick: fewer objects take too little time to be told from chance.
Orthanc holds them already and anonymises them over REST on loopback; of it only the processor time of its own process
counts. The leaks: a canary in every attribute of PS3.15 Table E.1-1, whatever its value representation, at the top and
in sequences that the table doesn't name, one and two levels down; the Basic Profile beside the peers, and the profile
for research, which keeps some attributes by rule: these are listed. `make bench` installs the peers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pydicom
from _bench import machine, orthanc_settings
from _canaries import Score, canaries, kept_by_rule, score
from pydicom.dataset import Dataset, FileMetaDataset

from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier

CT = "1.2.840.10008.5.1.4.1.1.2"
SECRET = b"a secret of the benchmark"
TARGET = 400.0
SCALES = 0.9
"""How much of one process's rate per processor second each of two must keep."""
ORTHANC = Path("/usr/sbin/Orthanc")
One = Callable[[bytes], bytes]


def slice_of(number: int) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"1.2.999.1.{number}"
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = CT, ds.SOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.999.2", "1.2.999.3", "1.2.999.4"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Harrowgate^Edith", "QX-4711", "19371113", "F"
    ds.PatientAge, ds.StudyDate, ds.SeriesDate, ds.ContentDate = "085Y", "20230102", "20230102", "20230102"
    ds.StudyTime, ds.SeriesTime, ds.AccessionNumber, ds.StudyID = "101112", "101113", "A4711", "S1"
    ds.Manufacturer, ds.ManufacturerModelName, ds.InstitutionName = "Acme", "Tomo 3", "Northgate General"
    ds.ReferringPhysicianName, ds.StudyDescription, ds.SeriesDescription = "Lee^Jo", "CT chest", "axial 1.0"
    ds.Modality, ds.ImageType, ds.BodyPartExamined = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "CHEST"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    ds.KVP, ds.SliceThickness, ds.PixelSpacing, ds.InstanceNumber = 120, 1, [0.7, 0.7], number
    ds.ConvolutionKernel, ds.XRayTubeCurrent, ds.RescaleIntercept, ds.RescaleSlope = "B30f", 200, -1024, 1
    for at in range(20):
        ds.private_block(0x0029, "ACME 1.0", create=True).add_new(at, "LO", f"value {at}")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, "1.2.999.1.0"
    ds.ReferencedImageSequence = [reference]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 512, 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.add_new(0x7FE00010, "OW", bytes(range(256)) * 2048)
    ds.add_new(0xFFFCFFFC, "OB", bytes(10000))
    return written(ds)


def small(data: bytes) -> bytes:
    """The object with few pixels, for what doesn't concern them."""
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.Rows = ds.Columns = 16
    ds.PixelData = bytes(512)
    return written(ds)


def written(ds: Dataset) -> bytes:
    # Not enforced: one peer hands back no file meta information to speak of.
    buffer = io.BytesIO()
    if not getattr(ds, "preamble", None):
        ds.preamble = bytes(128)
    pydicom.dcmwrite(buffer, ds)
    return buffer.getvalue()


def peers() -> dict[str, One]:
    """Each library as its documentation uses it, where it is installed."""
    found: dict[str, One] = {"pydicom read and save": lambda data: written(pydicom.dcmread(io.BytesIO(data)))}
    with contextlib.suppress(ImportError):
        from dicognito.anonymizer import Anonymizer

        cognito = Anonymizer(seed="a secret of the benchmark")

        def dicognito(data: bytes) -> bytes:
            ds = pydicom.dcmread(io.BytesIO(data))
            cognito.anonymize(ds)
            return written(ds)

        found["dicognito"] = dicognito
    with contextlib.suppress(ImportError):
        from dicomanonymizer import anonymize_dataset

        def anonymizer(data: bytes) -> bytes:
            ds = pydicom.dcmread(io.BytesIO(data))
            anonymize_dataset(ds)
            return written(ds)

        found["dicom-anonymizer"] = anonymizer
    with contextlib.suppress(ImportError):
        from deid.config import DeidRecipe
        from deid.dicom import get_identifiers, replace_identifiers

        recipe = DeidRecipe(base=True)
        folder = Path(tempfile.mkdtemp())

        def deid(data: bytes) -> bytes:
            path = folder / "one.dcm"
            path.write_bytes(data)
            with contextlib.redirect_stdout(io.StringIO()):
                items = get_identifiers([str(path)])
                (ds,) = replace_identifiers([str(path)], deid=recipe, ids=items, save=False, remove_private=True)
            return written(ds)

        found["deid"] = deid
    return found


class Orthanc:
    """An Orthanc on loopback that takes nothing by DICOM, and from no other machine."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = orthanc_settings("BENCH", 0, folder / "storage", HttpServerEnabled=True, HttpPort=port)
        settings |= {"DicomServerEnabled": False, "RemoteAccessAllowed": False, "AuthenticationEnabled": False}
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self._port = port
        self._process = subprocess.Popen(
            [str(ORTHANC), str(folder / "orthanc.json")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TCP_NODELAY": "1"},
        )
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                self._asked("/system")
                return
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("Orthanc doesn't start")
            time.sleep(0.1)

    def _asked(self, path: str, body: bytes | None = None, method: str = "") -> bytes:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(line):
            line.request(method or ("GET" if body is None else "POST"), path, body)
            answer = line.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"Orthanc answers {answer.status}")
            return answer.read()

    def hold(self, data: bytes) -> str:
        return str(json.loads(self._asked("/instances", data))["ID"])

    def anonymized(self, held: str) -> bytes:
        return self._asked(f"/instances/{held}/anonymize", b"{}")

    def one(self, data: bytes) -> bytes:
        held = self.hold(data)
        try:
            return self.anonymized(held)
        finally:
            self._asked(f"/instances/{held}", method="DELETE")

    def cpu(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


@contextlib.contextmanager
def orthanc() -> Iterator[Orthanc | None]:
    if not ORTHANC.exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        running = Orthanc(Path(folder))
        try:
            yield running
        finally:
            running.stop()


def rate(one: One, objects: list[bytes]) -> float:
    start = time.process_time()
    for data in objects:
        if len(one(data)) < len(data) // 2:
            raise RuntimeError("something came back that isn't the object")
    return len(objects) / (time.process_time() - start)


def rate_of(running: Orthanc, held: list[str]) -> float:
    start = running.cpu()
    for one in held:
        running.anonymized(one)
    return len(held) / (running.cpu() - start)


DEIDENTIFIER = Deidentifier(Profile.research(), SECRET)
BASIC = Deidentifier(Profile.basic(), SECRET)


def ours(data: bytes) -> bytes:
    return DEIDENTIFIER.deidentify(data).data


def ours_basic(data: bytes) -> bytes:
    return BASIC.deidentify(data).data


def _many(numbers: list[int]) -> tuple[int, float]:
    made = [slice_of(number) for number in numbers[:10]]
    start = time.process_time()
    for at in range(len(numbers)):
        ours(made[at % len(made)])
    return len(numbers), time.process_time() - start


def scaled(processes: int, objects: int) -> tuple[float, float]:
    """Objects a second by the clock, and by processor seconds."""
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_many, [[1]] * processes))
        start = time.perf_counter()
        done = list(pool.map(_many, [list(range(objects))] * processes))
        clock = time.perf_counter() - start
    total = sum(count for count, _ in done)
    return total / clock, total / sum(cpu for _, cpu in done)


def rates(all_of_us: dict[str, One], running: Orthanc | None, objects: list[bytes], *, rounds: int) -> dict[str, float]:
    """Medians of rounds in turn."""
    found: dict[str, list[float]] = {name: [] for name in (*all_of_us, *(["Orthanc"] if running else []))}
    held = [running.hold(data) for data in objects] if running else []
    for _ in range(rounds):
        for name, one in all_of_us.items():
            found[name].append(rate(one, objects if name != "deid" else objects[: max(10, len(objects) // 5)]))
        if running is not None:
            found["Orthanc"].append(rate_of(running, held))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    objects = [slice_of(number) for number in range(200)]
    others, plain = peers(), small(objects[0])
    places = {"top": canaries(Profile.basic(), [0]), "nested": canaries(Profile.basic(), [1, 2])}
    with orthanc() as running:
        medians = rates({"wardround": ours, **others}, running, objects, rounds=3 if asked.quick else 5)
        scored: dict[str, One] = {"wardround": ours_basic, **others, **({"Orthanc": running.one} if running else {})}
        leaked = {name: {at: score(one, plain, some) for at, some in places.items()} for name, one in scored.items()}
    research = {
        at: score(ours, plain, canaries(Profile.research(), on)) for at, on in (("top", [0]), ("nested", [1, 2]))
    }
    kept = kept_by_rule(Profile.research())
    print(machine())
    print(f"{len(objects)} objects of {len(objects[0]):,} bytes; leaks of {len(places['top'])} at the top, "
          f"{len(places['nested'])} nested")  # fmt: skip
    print(f"{'':<22}{'per CPU second':>16}{'ours by it':>12}{'leaks, top':>22}{'nested':>22}")
    for name, value in medians.items():
        top, nested = (leaked[name][at].told() for at in ("top", "nested"))
        print(f"{name:<22}{value:>16.0f}{medians['wardround'] / value:>12.1f}{top:>22}{nested:>22}")
    print("wardround, research: " + ", ".join(f"{one.leaked} of {one.places} {at}" for at, one in research.items()))
    print(f"kept by rule for research, so not counted there ({len(kept)}): {', '.join(kept)}")
    by_processes = {count: scaled(count, 400) for count in (1, 2)}
    for count, (clock, cpu) in by_processes.items():
        print(f"{count} processes: {clock:.0f} a second, {cpu:.0f} per CPU second")
    rows = [_speed(medians), *_leaks(leaked, research), *_scale(by_processes)]
    if asked.json:
        document = {"machine": machine(), "kept_by_rule_for_research": kept, "rows": rows}
        asked.json.write_text(json.dumps(document, indent=2), encoding="utf-8")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def _row(name: str, mine: float, others: dict[str, float], target: float, met: bool, unit: str) -> dict[str, object]:
    return {"name": name, "ours": mine, "peers": others, "target": target, "met": met, "unit": unit}


def _speed(medians: dict[str, float]) -> dict[str, object]:
    mine, others = medians["wardround"], {name: value for name, value in medians.items() if name != "wardround"}
    return _row("de-identify 535 KB CT", mine, others, TARGET, mine >= TARGET, "objects per CPU second")


def _leaks(leaked: dict[str, dict[str, Score]], research: dict[str, Score]) -> Iterator[dict[str, object]]:
    for at, mine in leaked["wardround"].items():
        others: dict[str, float] = {name: told[at].leaked for name, told in leaked.items() if name != "wardround"}
        met = not mine.leaked and not mine.unusable
        yield _row(f"leaks of {mine.places} canaries, {at}", mine.leaked, others, 0, met, "canaries")
    for at, mine in research.items():
        met = not mine.leaked and not mine.unusable
        yield _row(f"leaks of {mine.places} canaries, {at}, for research", mine.leaked, {}, 0, met, "canaries")


def _scale(by_processes: dict[int, tuple[float, float]]) -> Iterator[dict[str, object]]:
    (one, one_cpu), (two, two_cpu) = by_processes[1], by_processes[2]
    yield _row("2 processes", two, {"1 process": one}, 0, True, "objects a second")
    told = "objects per CPU second"
    yield _row("2 processes", two_cpu, {"1 process": one_cpu}, SCALES * one_cpu, two_cpu >= SCALES * one_cpu, told)


if __name__ == "__main__":
    main()
