"""Writes invented patients of two hospitals as DICOM files, to try a federation by hand.

    python docs/tutorial/sample_dicom.py FOLDER [--patients 12]

FOLDER/north and FOLDER/south each get a folder `research`, with MR slices and a reference segmentation (DICOM SEG)
for each patient, and a folder `clinic`, with the slices of one more patient. Names, numbers and dates in the headers
are invented. The same call writes the same patients again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from wardround.demo.patients import clinic_patient, mr_slices, to_dicom
from wardround.demo.phantoms import hospitals

SITES = ("north", "south")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write invented patients as DICOM files.")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--patients", type=int, default=12, help="patients for research at each hospital")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    for site, hospital in zip(SITES, hospitals(len(SITES), patients=options.patients), strict=True):
        for number, key in enumerate(hospital.keys[:-1], 1):
            study = to_dicom(hospital.patient(key))
            _write(options.folder / site / "research" / f"patient-{number:02d}", [*study.slices, study.segmentation])
        _write(options.folder / site / "clinic", mr_slices(clinic_patient(hospital)))


def _write(folder: Path, objects: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for number, part10 in enumerate(objects, 1):
        (folder / f"{number:03d}.dcm").write_bytes(part10)


if __name__ == "__main__":
    main()
