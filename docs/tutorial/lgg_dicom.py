"""Writes one hospital of a folder of NIfTI files as DICOM, and the link file that its records join their images by.

    python docs/tutorial/lgg_dicom.py DATA SITE FOLDER [--patients 4]

DATA holds a folder for each hospital, as `wardround demo --data` takes it; SITE is one of them, in small letters.
FOLDER gets `images`, with MR slices for each patient, and `link.csv`, which says who each of them is there. Names,
numbers and dates in the headers are invented. The same call writes the same patients again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from wardround.demo.links import write_link
from wardround.demo.nifti import read_hospitals
from wardround.demo.patients import mr_slices


def main() -> None:
    parser = argparse.ArgumentParser(description="Write one hospital's patients as DICOM files, and a link file.")
    parser.add_argument("data", type=Path, help="a folder of hospitals, each with NIfTI files")
    parser.add_argument("site", help="the hospital")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--patients", type=int, help="so many patients at most; all if not given")
    options = parser.parse_args()
    hospitals = {hospital.code: hospital for hospital in read_hospitals(options.data)}
    if options.site not in hospitals:
        parser.error(f"site is one of {', '.join(hospitals)}")
    hospital = hospitals[options.site]
    options.folder.mkdir(parents=True)
    for number, key in enumerate(hospital.keys[: options.patients], 1):
        folder = options.folder / "images" / f"patient-{number:02d}"
        folder.mkdir(parents=True)
        for place, part10 in enumerate(mr_slices(hospital.patient(key)), 1):
            (folder / f"{place:03d}.dcm").write_bytes(part10)
    write_link(hospital, options.folder / "link.csv")


if __name__ == "__main__":
    main()
