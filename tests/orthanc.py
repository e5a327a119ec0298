"""A real Orthanc as the hospital's PACS, for tests.

Orthanc listens on every address. Here it takes HTTP from this machine alone and DICOM from the titles that a test
names, all of them on 127.0.0.1, under its own title only; it holds phantoms and dies with the test.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PROGRAM = Path("/usr/sbin/Orthanc")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALLED = PROGRAM.exists()
TITLE = "HOSPITALPACS"
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Orthanc:
    """One Orthanc. `kill` and `start` again is a crash: what it holds stays in its folder."""

    folder: Path
    modalities: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = TITLE
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration() | dict(self.settings)))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, configuration],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TCP_NODELAY": "1"},
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, (self.folder / "orthanc.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Orthanc did not start"
            try:
                httpx.get(f"{self.url}/system", timeout=5).raise_for_status()
                with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                    return
            except (httpx.HTTPError, OSError):
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def take(self, objects: Iterable[bytes]) -> None:
        """Store Part 10 files over Orthanc's own HTTP interface."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for part10 in objects:
                client.post("/instances", content=part10).raise_for_status()

    def _configuration(self) -> dict[str, Any]:
        return {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(DICOMWEB)] if DICOMWEB.exists() else [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.title,
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowMove": False,
            "DicomModalities": {
                title.lower(): {
                    "AET": title,
                    "Host": "127.0.0.1",
                    "Port": port,
                    "AllowEcho": True,
                    "AllowStore": True,
                    "AllowFind": True,
                    "AllowGet": True,
                    "AllowMove": True,
                    "UseDicomTls": bool(self.settings.get("DicomTlsEnabled")),
                }
                for title, port in self.modalities.items()
            },
            "SynchronousCMove": True,
            "ConcurrentJobs": 2,
            "StableAge": 1,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        }


@contextmanager
def running(folder: Path, modalities: Mapping[str, int], **settings: Any) -> Iterator[Orthanc]:
    """An Orthanc that knows these AE titles at these ports of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    orthanc = Orthanc(folder, modalities, settings)
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.kill()
