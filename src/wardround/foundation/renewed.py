"""TLS whose files may be replaced while a program serves: each connection is made with what they are then."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
_Stamp = tuple[tuple[int, int, int] | None, ...]


class RenewedContext(ssl.SSLContext):
    """A context that is made anew once one of its files changed, for connections from then on; open ones keep theirs.

    Files that can't be used leave what was made before in use, and the log says so: somebody who replaces a
    certificate and its key replaces one before the other.

    Args:
        made: makes a whole context of the files. Set everything there; what is set on this one counts for nothing.
        files: those that it reads; the certificate first.

    Raises:
        OSError, ValueError: `made` couldn't use the files as they are now.
    """

    _made: Callable[[], ssl.SSLContext]
    _files: Sequence[Path]
    _stamp: _Stamp
    _latest: ssl.SSLContext
    _lock: threading.Lock

    def __new__(cls, made: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> RenewedContext:
        stamp, first = _stamp(files), made()
        self = super().__new__(cls, first.protocol)
        self._made, self._files, self._stamp, self._latest = made, files, stamp, first
        self._lock = threading.Lock()
        return self

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        return self._current().wrap_socket(*given, **named)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        return self._current().wrap_bio(*given, **named)

    def _current(self) -> ssl.SSLContext:
        # Never loaded into the living context: a key that doesn't fit would have broken it by then.
        with self._lock:
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._latest = self._made()
                except (OSError, ValueError) as error:
                    LOG.error(
                        "%s, its key or what is trusted beside it was changed and can't be used (%s); what was read "
                        "before is used until that is mended",
                        self._files[0],
                        type(error).__name__,
                    )
                else:
                    LOG.info("%s was replaced, and is shown from now on", self._files[0])
            return self._latest


def _stamp(files: Sequence[Path]) -> _Stamp:
    return tuple(_of(file) for file in files)


def _of(file: Path) -> tuple[int, int, int] | None:
    try:
        told = file.stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns, told.st_size


def no_password() -> str:
    """For `SSLContext.load_cert_chain`, since OpenSSL would ask on the terminal. Raises `ValueError`."""
    raise ValueError("the key has a password")
