"""One web application on an address of its own, served from a thread of a program."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from wardround.foundation.errors import Conflict
from wardround.foundation.listening import bound_socket, server_config
from wardround.foundation.renewed import RenewedContext, no_password
from wardround.foundation.settings import SettingsRefused

STARTS_WITHIN = 30.0
LAST_CALLS_GET = 5
_WEBSOCKETS: dict[str, Any] = {"ws": "websockets-sansio", "ws_max_size": 4096, "ws_per_message_deflate": False}
"""Clients are told things on them; what they say is small."""


class _Listener(uvicorn.Server):
    """Signals belong to the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """One application on one address, in a thread.

    Args:
        certificate, key: PEM files for HTTPS; without them it is HTTP. Where they are replaced, connections made after
            that have the new ones.
        called: its table in the settings, by which an error says where the mend is.
        port: 0 for a free one.
        websockets: whether the application serves any.

    Raises:
        SettingsRefused: the files can't be used.
    """

    def __init__(
        self,
        app: FastAPI,
        called: str,
        *,
        host: str,
        port: int,
        certificate: Path | None = None,
        key: Path | None = None,
        websockets: bool = False,
    ) -> None:
        self._app = app
        self._more = {"timeout_graceful_shutdown": LAST_CALLS_GET} | (_WEBSOCKETS if websockets else {})
        self._called = called
        self._host = host
        self._wanted_port = port
        self._tls = None if certificate is None or key is None else _context(called, certificate, key)
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1]) if self._socket is not None else self._wanted_port

    def start(self) -> None:
        """Listen. Returns once calls are taken.

        Raises:
            Conflict: the address can't be had.
        """
        try:
            bound = bound_socket(self._host, self._wanted_port)
        except OSError as error:
            raise Conflict(
                f"[{self._called}]: port {self._wanted_port} can't be had ({error.strerror}); set another"
            ) from None
        self._socket = bound
        self._listener = _Listener(server_config(self._app, self._tls, **self._more))
        listener = self._listener
        self._thread = threading.Thread(
            target=lambda: asyncio.run(listener.serve([bound])), name=self._called, daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(STARTS_WITHIN / 0.01)):
            if listener.started or not self._thread.is_alive():
                break
            waited.wait(0.01)

    def stop(self) -> None:
        if self._listener is not None and self._thread is not None:
            self._listener.should_exit = True
            self._thread.join()
        self._listener = self._thread = self._socket = None


def _context(called: str, certificate: Path, key: Path) -> ssl.SSLContext:
    def made() -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key, password=no_password)
        return context

    try:
        return RenewedContext(made, (certificate, key))
    except (OSError, ValueError) as error:
        raise SettingsRefused(f"[{called}]: certificate or key can't be used ({type(error).__name__})") from None
