"""The link file: which patient a source's own number stands for, as the patient's images have it.

    person_source_value,patient_id,issuer
    S-000147,9990001113,NHS

The first column's name says what the source's number is; `issuer` may be left out, for the hospital's own numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.hl7.conventions import usable
from wardround.node.records.row import PersonIdentity, Rejected
from wardround.node.records.tabular.delimited import Delimited, Form, separator_of
from wardround.node.records.tabular.index import Index

_SPACE = "link"


class Link:
    """A link file that was read into an index. `by`: which of the source's columns its numbers are of.

    Args:
        keys: the columns that it may go by.

    Raises:
        RecordsRefused: it can't be used; the text says where and the mend.
    """

    def __init__(self, path: Path, keys: Sequence[str], index: Index) -> None:
        self._index = index
        file = Delimited(path, Form(separator=separator_of(path)))
        try:
            names = [name.lower() for name in file.columns]
            self.by = _one_of(path, names, keys)
            unknown = [name for name in names if name not in (self.by, "patient_id", "issuer")]
            if "patient_id" not in names or unknown:
                raise RecordsRefused(
                    f"{path}: the columns of a link file are {self.by}, patient_id and, perhaps, issuer; "
                    f"{'leave the others out' if 'patient_id' in names else 'patient_id is missing, add it'}"
                )
            for line in file.rows():
                if isinstance(line, Rejected):
                    raise RecordsRefused(f"{path}: {line.where}: can't be read; mend it")
                cells = dict(zip(names, (cell.strip() for cell in line.cells), strict=True))
                self._add(path, line.where, cells[self.by], cells["patient_id"], cells.get("issuer", ""))
        finally:
            file.close()

    def _add(self, path: Path, where: str, number: str, patient_id: str, issuer: str) -> None:
        if not number or not usable(patient_id) or (issuer and not usable(issuer)):
            raise RecordsRefused(
                f"{path}: {where}: needs {self.by} and a patient_id of at most 64 characters without a backslash; "
                "mend it or leave it out"
            )
        said = json.dumps([patient_id, issuer])
        if not self._index.add(_SPACE, number, said) and self._index.get(_SPACE, number) != said:
            raise RecordsRefused(f"{path}: {where}: links a number for the second time, to another patient; keep one")

    def find(self, number: str) -> PersonIdentity | None:
        """Whom a number stands for; None if the file doesn't say."""
        said = self._index.get(_SPACE, number)
        return None if said is None else PersonIdentity(*json.loads(said))


def _one_of(path: Path, names: Sequence[str], keys: Sequence[str]) -> str:
    found = [key for key in keys if key in names]
    if len(found) != 1:
        raise RecordsRefused(
            f"{path}: a link file for this source has one column called {' or '.join(keys)}, and patient_id; "
            f"{'keep one of ' + ', '.join(found) if found else 'name the columns so'}"
        )
    return found[0]
