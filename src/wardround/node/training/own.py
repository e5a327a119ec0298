"""What this hospital keeps of a run for itself, sealed: arrays that never leave, as each round left them here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.files import flush_directory, write_whole
from wardround.foundation.sealing import Sealer

FOLDER = "own"
_SUFFIX = ".sealed"


@dataclass(frozen=True)
class SealedArrays:
    """What goes with one model of a run, for the process that uses it there: the file, and the run's key."""

    file: Path
    key: bytes = field(repr=False)

    @property
    def there(self) -> bool:
        return self.file.is_file()

    def open(self) -> bytes:
        """Raises `FileNotFoundError`, they were removed; `NotOpened`, they were changed, or are another's."""
        return Sealer(self.key).open(self.file.read_bytes(), self.file.stem.encode())


class OwnArrays:
    """Files below a run's folder, each whole or absent: `own/<round>.sealed` as the round left them, and
    `own/<digest>.sealed` those that go with a model which was judged here. Each opens under a key of the run's alone,
    and for its own name.

    A round that is done again begins with what the round before it left, as it did the first time.

    Args:
        runs: the folder of all runs at this node.
        keys: those of this site.
    """

    def __init__(self, runs: Path, keys: PseudonymKeys) -> None:
        self._runs = runs
        self._keys = keys

    def before(self, run: str, round_number: int) -> bytes:
        """What the newest round before that one left here; nothing where there was none.

        Raises:
            NotOpened: it was changed, or is another's.
        """
        earlier = [number for number in self._rounds(run) if number < round_number]
        return self._opened(run, _round(max(earlier))) if earlier else b""

    def keep(self, run: str, round_number: int, arrays: bytes) -> None:
        """Keep what a round left, flushed to the disk."""
        self._seal(run, _round(round_number), arrays)

    def settle(self, run: str, model: str, arrays: bytes) -> None:
        """Keep what goes with the model whose weights have the digest `model`, beyond the end of the run."""
        self._seal(run, model, arrays)

    def sealed(self, run: str, model: str) -> SealedArrays:
        """What goes with a model of a run, unopened; it may not be there."""
        return SealedArrays(self._file(run, model), self._key(run))

    def end(self, run: str) -> None:
        """Free what the rounds of a run left but for the newest, with which it could go on."""
        for number in self._rounds(run)[:-1]:
            self._file(run, _round(number)).unlink()
        if (folder := self._runs / run / FOLDER).is_dir():
            flush_directory(folder)

    def forget(self, run: str) -> None:
        """Remove all that was kept of a run. One under way goes on as if it had left nothing here yet."""
        shutil.rmtree(self._runs / run / FOLDER, ignore_errors=True)

    def _seal(self, run: str, name: str, arrays: bytes) -> None:
        file = self._file(run, name)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(file, Sealer(self._key(run)).seal(arrays, name.encode()), mode=0o600)

    def _opened(self, run: str, name: str) -> bytes:
        return self.sealed(run, name).open()

    def _key(self, run: str) -> bytes:
        return self._keys.key(f"own arrays {run}")

    def _file(self, run: str, name: str) -> Path:
        return self._runs / run / FOLDER / f"{name}{_SUFFIX}"

    def _rounds(self, run: str) -> list[int]:
        names = (file.stem for file in (self._runs / run / FOLDER).glob(f"*{_SUFFIX}"))
        return sorted(int(name) for name in names if name.isdecimal() and len(name) == 4)


def _round(number: int) -> str:
    return f"{number:04}"
