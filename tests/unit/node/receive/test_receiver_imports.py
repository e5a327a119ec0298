"""What a process that receives loads: it is there several times, so what it doesn't need stays out."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"pydicom", "numpy", "sqlalchemy", "alembic", "pydantic", "cryptography"}


def test_a_receiver_loads_neither_a_database_nor_a_dicom_library() -> None:
    program = "import sys, wardround.node.receive.receiver; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) == set()


SAME_TABLES = """
from wardround.dicom.dictionary import ELEMENTS, REPEATING_ELEMENTS, UIDS
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._uid_dict import UID_dictionary
print((DicomDictionary, RepeatersDictionary, UID_dictionary) == (ELEMENTS, REPEATING_ELEMENTS, UIDS))
"""


def test_the_tables_of_the_standard_are_those_of_pydicom() -> None:
    # In a process of its own: pynetdicom adds to pydicom's table of UIDs, once it is loaded.
    said = subprocess.run([sys.executable, "-c", SAME_TABLES], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "True"
