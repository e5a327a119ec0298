"""A crew whose processes die, hang or fail at certain objects: what a test of poisonous objects works with."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from threading import Event

from wardround.dicom.deidentify_original import Original
from wardround.dicom.statement import Deidentified, PixelWork
from wardround.node.deidentify.crew import Recipe
from wardround.node.deidentify.work import Bench

KILLS, HANGS, BREAKS = b"POISON-KILLS", b"POISON-HANGS", b"POISON-BREAKS"


@dataclass(frozen=True, slots=True)
class Poisoned(Recipe):
    """Looks for a word in the object before it de-identifies as ever."""

    def bench(self) -> Bench:
        bench = Recipe.bench(self)
        deidentify = bench.deidentify

        def poisoned(original: Original, pixels: PixelWork | None) -> Deidentified:
            if KILLS in original.part10:
                os.kill(os.getpid(), signal.SIGSEGV)
            if HANGS in original.part10:
                Event().wait()
            if BREAKS in original.part10:
                raise RecursionError("Somebody^Known")
            return deidentify(original, pixels)

        return replace(bench, deidentify=poisoned)
