"""What this hospital keeps of a run for itself: arrays that never leave, as each round left them here."""

from __future__ import annotations

from pathlib import Path

from wardround.foundation.files import flush_directory, write_whole

FOLDER = "own"
_SUFFIX = ".safetensors"


class OwnArrays:
    """Files below a run's folder, each whole or absent: `own/<round>.safetensors` as the round left them, and
    `own/<digest>.safetensors` those that go with a model which was judged here.

    A round that is done again begins with what the round before it left, as it did the first time.

    Args:
        runs: the folder of all runs at this node.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    def before(self, run: str, round_number: int) -> bytes:
        """What the newest round before that one left here; nothing where there was none."""
        earlier = [number for number in self._rounds(run) if number < round_number]
        return self._round(run, max(earlier)).read_bytes() if earlier else b""

    def keep(self, run: str, round_number: int, arrays: bytes) -> None:
        """Keep what a round left, flushed to the disk."""
        write_whole(self._round(run, round_number), arrays)

    def settle(self, run: str, model: str, arrays: bytes) -> None:
        """Keep what goes with the model whose weights have the digest `model`, beyond the end of the run."""
        write_whole(self.beside(run, model), arrays)

    def beside(self, run: str, model: str) -> Path:
        """Where what goes with a model of a run lies, if this hospital has anything of it."""
        return self._runs / run / FOLDER / f"{model}{_SUFFIX}"

    def end(self, run: str) -> None:
        """Free what the rounds of a run left but for the newest, with which it could go on."""
        for number in self._rounds(run)[:-1]:
            self._round(run, number).unlink()
        if (folder := self._runs / run / FOLDER).is_dir():
            flush_directory(folder)

    def _round(self, run: str, number: int) -> Path:
        return self._runs / run / FOLDER / f"{number:04}{_SUFFIX}"

    def _rounds(self, run: str) -> list[int]:
        names = (file.stem for file in (self._runs / run / FOLDER).glob(f"*{_SUFFIX}"))
        return sorted(int(name) for name in names if name.isdecimal() and len(name) == 4)
