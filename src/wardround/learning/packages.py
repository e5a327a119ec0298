"""The model packages that are here: those of this installation, and those that somebody added, each by its digest."""

from __future__ import annotations

import shutil
from pathlib import Path

from wardround.foundation.files import write_whole
from wardround.learning.bundle import BundleRefused, bundle_digest, files_of, packaged, read_bundle


class Packages:
    """A folder of added packages, one in each folder that is called by its digest.

    Whoever asks names the digest too, so that two parties who name the same have the same, and a package that was
    changed where it lies isn't found.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> str:
        """Check a package, keep a copy of it, and return its digest. One that is there already changes nothing.

        Raises:
            BundleRefused: see `read_bundle` and `bundle_digest`.
        """
        read_bundle(source)
        digest = bundle_digest(source)
        target = self._folder / digest
        if not target.exists():
            part = self._folder / f".{digest}"
            shutil.rmtree(part, ignore_errors=True)
            for path in files_of(source):
                write_whole(part / path, (source / path).read_bytes(), mode=0o600)
            if bundle_digest(part) != digest:
                raise BundleRefused("unreadable", "the package changed while it was copied; add it again")
            part.rename(target)
        return digest

    def find(self, name: str, digest: str) -> Path:
        """Where the package with that name and digest is.

        Raises:
            BundleRefused: `unknown-package`, there is none of that name; `package-differs`, there is one of that name
                and of another digest, or the one of that digest was changed.
        """
        added = self._folder / digest
        if added.is_dir() and bundle_digest(added) == digest and read_bundle(added).name == name:
            return added
        try:
            shipped = packaged(name)
        except BundleRefused:
            if name not in self.listed().values():
                raise
        else:
            if bundle_digest(shipped) == digest:
                return shipped
        raise BundleRefused(
            "package-differs",
            f"{name} is here, but not the one of digest {digest[:12]}…; add that one with `wardround package add`",
        )

    def listed(self) -> dict[str, str]:
        """The names of the packages that were added, by digest."""
        if not self._folder.is_dir():
            return {}
        folders = sorted(entry for entry in self._folder.iterdir() if not entry.name.startswith("."))
        return {folder.name: read_bundle(folder).name for folder in folders}
