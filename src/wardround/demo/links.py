"""Link files of demonstration patients: who each of a folder's patients is in DICOM, so that records join images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from wardround.demo.nifti import NiftiHospital
from wardround.demo.patients import ISSUER
from wardround.foundation.files import write_whole


def write_link(hospital: NiftiHospital, file: Path) -> None:
    """Write what `wardround node records load --link` takes for a CSV that calls patients as the folder does.

    It says who is who, and is readable by its owner alone.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("number", "patient_id", "issuer"))
    lines.writerows((key, hospital.identity(key).patient_id, ISSUER) for key in hospital.keys)
    write_whole(file, text.getvalue().encode(), mode=0o600)
