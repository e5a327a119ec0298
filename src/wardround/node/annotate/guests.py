"""Volumes that clients send to be looked at: never in the enclave, never trained on, gone after hours."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from wardround.foundation.errors import NotFound
from wardround.foundation.files import write_whole
from wardround.node.annotate.volume_file import ending_of
from wardround.node.annotate.work import NotAnnotated, Source

_MOST = 64


@dataclass(frozen=True, slots=True)
class Guest:
    """A file that a person sent. Times in seconds since 1970; `expiry` in seconds after the last use."""

    key: str
    owner: str
    name: str
    path: Path
    made: float
    expiry: float


class Guests:
    """Each is its sender's alone. What is in the folder when the program begins is nobody's, and removed.

    Args:
        hours: how long a file is kept after its last use, at most.
    """

    def __init__(self, folder: Path, hours: float) -> None:
        self._folder = folder
        self._longest = hours * 3600
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Guest, float]] = {}

    def begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep(self, owner: str, file_name: str, data: bytes, *, key: str = "", expiry: float = 0) -> Guest:
        """Keep a file under `key`, or under one made for it; one of that key and owner is replaced.

        Raises:
            NotAnnotated: its name says no kind of volume that is read here.
        """
        ending = ending_of(file_name)
        if not ending:
            raise NotAnnotated("a volume comes as .nii, .nii.gz or .nrrd")
        self.tidy()
        key = key or secrets.token_hex(16)
        path = self._folder / f"{secrets.token_hex(16)}{ending}"
        write_whole(path, data)
        seconds = min(expiry, self._longest) if expiry > 0 else self._longest
        guest = Guest(key, owner, file_name[-80:], path, time.time(), seconds)
        with self._lock:
            before = self._kept.pop(f"{owner}\0{key}", None)
            self._kept[f"{owner}\0{key}"] = (guest, time.time())
            spare = sorted(self._kept, key=lambda one: self._kept[one][1])[: max(0, len(self._kept) - _MOST)]
            gone = [self._kept.pop(one)[0] for one in spare] + ([before[0]] if before else [])
        for one in gone:
            one.path.unlink(missing_ok=True)
        return guest

    def find(self, owner: str, key: str) -> Guest:
        """Raises `NotFound` where the person has sent no such file, or it is gone."""
        self.tidy()
        with self._lock:
            kept = self._kept.get(f"{owner}\0{key}")
            if kept is None:
                raise NotFound("nothing of this name is here")
            self._kept[f"{owner}\0{key}"] = (kept[0], time.time())
        return kept[0]

    def used(self, guest: Guest) -> float:
        """When it was used last."""
        with self._lock:
            return self._kept.get(f"{guest.owner}\0{guest.key}", (guest, guest.made))[1]

    def drop(self, owner: str, key: str) -> None:
        guest = self.find(owner, key)
        with self._lock:
            self._kept.pop(f"{owner}\0{key}", None)
        guest.path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what wasn't used for as long as it is kept."""
        at = time.time()
        with self._lock:
            old = [key for key, (guest, used) in self._kept.items() if at > used + guest.expiry]
            gone = [self._kept.pop(key)[0] for key in old]
        for guest in gone:
            guest.path.unlink(missing_ok=True)


def source_of(guest: Guest) -> Source:
    """The volume for the working process."""
    return Source((guest.path,), guest.path.name)
