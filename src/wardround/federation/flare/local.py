"""FLARE's messages between its own processes on one machine: over a Unix socket instead of TLS on a port.

Everything that a leg moves passes between FLARE's server and the leg's process as well as between site and server.
Encrypting it a second time between two processes of one user keeps nobody out whom the kernel doesn't keep out:

1. the socket lies in a folder that its owner alone may enter (mode 0700), under a name drawn at random;
2. the kernel tells who is at the other end (SO_PEERCRED), and whoever is another user is hung up on.
"""

from __future__ import annotations

import os
import secrets
import socket
import socketserver
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nvflare.fuel.f3.drivers.base_driver import BaseDriver
from nvflare.fuel.f3.drivers.driver import ConnectorInfo
from nvflare.fuel.f3.drivers.driver_params import DriverCap
from nvflare.fuel.f3.drivers.socket_conn import ConnectionHandler, SocketConnection

SCHEME = "local"
FOLDER = "folder"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    ssl_context = None

    def __init__(self, driver: BaseDriver, connector: ConnectorInfo) -> None:
        self.driver = driver
        self.connector = connector
        self.local_addr = connector.params["path"]
        with _short(Path(self.local_addr)) as address:
            super().__init__(address, ConnectionHandler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return _is_own(request)


class LocalDriver(BaseDriver):  # type: ignore[misc]  # nvflare has no types
    """A driver of FLARE's for `local:` addresses; the resources of a listener name its `folder`."""

    def __init__(self) -> None:
        super().__init__()
        self._server: _Server | None = None

    @staticmethod
    def supported_transports() -> list[str]:
        return [SCHEME]

    @staticmethod
    def capabilities() -> dict[str, Any]:
        return {DriverCap.SEND_HEARTBEAT.value: True, DriverCap.SUPPORT_SSL.value: False}

    @staticmethod
    def get_urls(scheme: str, resources: dict[str, Any]) -> tuple[str, str]:
        url = f"{scheme}://here{Path(resources[FOLDER]) / secrets.token_hex(8)}"
        return url, url

    def listen(self, connector: ConnectorInfo) -> None:
        self.connector = connector
        self._server = _Server(self, connector)
        self._server.serve_forever()

    def connect(self, connector: ConnectorInfo) -> None:
        self.connector = connector
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(Path(connector.params["path"])) as address:
            line.connect(address)
        if not _is_own(line):
            line.close()
            raise PermissionError("the process at the other end belongs to another user")
        connection = SocketConnection(line, connector)
        self.add_connection(connection)
        connection.read_loop()
        self.close_connection(connection)

    def shutdown(self) -> None:
        self.close_all()
        if self._server is not None:
            self._server.shutdown()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same file by a name that fits the 108 bytes of a socket's address, however deep its folder lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _is_own(line: socket.socket) -> bool:
    told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", told)[1] == os.getuid())
