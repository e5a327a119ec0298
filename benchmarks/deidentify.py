"""De-identification beside its peers: objects per second of processor time, and what leaks.

`python benchmarks/deidentify.py [--quick] [--json FILE]`. 200 CT slices of 535 KB, all in memory, interleaved,
medians of three rounds. Orthanc isn't measured here. The leaks: a canary in every attribute of PS3.15 Table E.1-1
that can hold one, at the top and two levels down in sequences that the table doesn't name.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag

from wardround.dicom.confidentiality import Profile, confidentiality_table
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.errors import Refused

CT = "1.2.840.10008.5.1.4.1.1.2"
SECRET = b"a secret of the benchmark"
TARGET = 400.0
NUMERIC = {"US", "SS", "UL", "SL", "FL", "FD", "AT", "IS", "DS", "AS", "SV", "UV", "CS"}
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


def written(ds: Dataset) -> bytes:
    # Not enforced: one peer hands back no file meta information to speak of.
    buffer = io.BytesIO()
    if not getattr(ds, "preamble", None):
        ds.preamble = bytes(128)
    pydicom.dcmwrite(buffer, ds)
    return buffer.getvalue()


def planted() -> tuple[bytes, set[bytes]]:
    """One object with a canary of its own in each place; the canaries."""
    ds, canaries = pydicom.dcmread(io.BytesIO(slice_of(1))), set()

    def plant(into: Dataset, prefix: str) -> None:
        for at, pattern in enumerate(confidentiality_table()):
            if (
                pattern == "private"
                or pattern.startswith(("0000", "0002", "0004", "ffff", "fffe"))
                or pattern == "00080018"
            ):
                continue
            tag = int(pattern.replace("x", "0"), 16)
            vr = DicomDictionary[tag][0].split(" ")[0] if tag in DicomDictionary else "LO"
            if vr in NUMERIC or vr in {"SQ", "DA", "DT", "TM"}:
                continue
            canary = f"1.2.999.{ord(prefix)}{at:04d}7".encode() if vr == "UI" else f"KANARIE{prefix}{at:04d}N".encode()
            into[tag] = RawDataElement(
                BaseTag(tag), vr, len(canary), canary + b"\0" * (len(canary) % 2), 0, False, True
            )
            canaries.add(canary)

    plant(ds, "T")
    middle, inner = Dataset(), Dataset()
    plant(middle, "M")
    plant(inner, "I")
    middle[0x00082220] = pydicom.DataElement(0x00082220, "SQ", [inner])
    ds[0x00189112] = pydicom.DataElement(0x00189112, "SQ", [middle])
    return written(ds), canaries


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


def rate(one: One, objects: list[bytes]) -> float:
    start = time.process_time()
    for data in objects:
        one(data)
    return len(objects) / (time.process_time() - start)


def leaks(one: One, data: bytes, canaries: set[bytes]) -> int | None:
    try:
        after = one(data)
    except Refused:
        return 0
    except Exception as failure:
        print(f"  failed: {type(failure).__name__}")
        return None
    return sum(canary in after for canary in canaries)


DEIDENTIFIER = Deidentifier(Profile.research(), SECRET)


def ours(data: bytes) -> bytes:
    return DEIDENTIFIER.deidentify(data).data


def _many(numbers: list[int]) -> int:
    made = [slice_of(number) for number in numbers[:10]]
    for at in range(len(numbers)):
        ours(made[at % len(made)])
    return len(numbers)


def walls(processes: int, objects: int) -> float:
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_many, [[1]] * processes))
        start = time.perf_counter()
        done = sum(pool.map(_many, [list(range(objects))] * processes))
        return done / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    objects = [slice_of(number) for number in range(40 if asked.quick else 200)]
    all_of_us: dict[str, One] = {"wardround": ours, **peers()}
    rounds: dict[str, list[float]] = {name: [] for name in all_of_us}
    for _ in range(3):
        for name, one in all_of_us.items():
            few = objects if name != "deid" else objects[: max(10, len(objects) // 5)]
            rounds[name].append(rate(one, few))
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    data, canaries = planted()
    leaked = {name: leaks(one, data, canaries) for name, one in all_of_us.items()}
    mine = medians["wardround"]
    print(f"{len(objects)} objects of {len(objects[0]):,} bytes; load {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
    print(f"{'':<24}{'a second and core':>20}{'ours by it':>12}{'leaks of ' + str(len(canaries)):>18}")
    for name in all_of_us:
        told = "failed" if leaked[name] is None else leaked[name]
        print(f"{name:<24}{medians[name]:>20.0f}{mine / medians[name]:>12.1f}{told:>18}")
    scaled = {count: walls(count, 400) for count in (1, 2)}
    print("wall: " + ", ".join(f"{count} processes {value:.0f} a second" for count, value in scaled.items()))
    others = {name: value for name, value in medians.items() if name != "wardround"}
    rows = [
        {
            "name": "de-identify 535 KB CT",
            "ours": mine,
            "peers": others,
            "target": TARGET,
            "met": mine >= TARGET,
            "unit": "objects per CPU second",
        },
        {
            "name": "canaries that leak",
            "ours": leaked["wardround"],
            "peers": {n: v for n, v in leaked.items() if n != "wardround"},
            "target": 0,
            "met": leaked["wardround"] == 0,
            "unit": "canaries",
        },
    ]
    if asked.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        asked.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2), encoding="utf-8")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


if __name__ == "__main__":
    main()
