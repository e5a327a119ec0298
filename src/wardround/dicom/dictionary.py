"""The tables of PS3.6 (data elements, UIDs) as pydicom has them, read without loading pydicom.

They are two files of plain data. pydicom itself takes 50 MB, which a process that only moves bytes does without.
"""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType


def _table(name: str) -> ModuleType:
    loaded = sys.modules.get(f"pydicom.{name}")
    if loaded is not None:
        return loaded
    package = find_spec("pydicom")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pydicom isn't installed", name="pydicom")
    loader = SourceFileLoader(f"pydicom.{name}", str(Path(package.origin).with_name(f"{name}.py")))
    spec = spec_from_loader(loader.name, loader)
    if spec is None:
        raise ModuleNotFoundError(f"pydicom has no {name}", name=loader.name)
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


_elements = _table("_dicom_dict")

ELEMENTS: dict[int, tuple[str, str, str, str, str]] = _elements.DicomDictionary
"""By tag: value representation, value multiplicity, name, whether it is retired, keyword (PS3.6 sections 6 to 8)."""
REPEATING_ELEMENTS: dict[str, tuple[str, str, str, str, str]] = _elements.RepeatersDictionary
"""The same of groups that may be repeated, by a tag with `x` in it, as in ``60xx3000`` (PS3.5 section 7.6)."""
UIDS: dict[str, tuple[str, str, str, str, str]] = _table("_uid_dict").UID_dictionary
"""By UID: name, kind, information, whether it is retired, keyword (PS3.6 Annex A)."""
