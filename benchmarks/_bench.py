"""What the benchmarks share: how they tell the machine, and the Orthanc that they measure beside us."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def machine() -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {' '.join(f'{one:.1f}' for one in os.getloadavg())}, {time.strftime('%Y-%m-%d %H:%M')}"
    )


def orthanc_settings(title: str, port: int, storage: Path, **more: Any) -> dict[str, Any]:
    """Of an Orthanc that takes from this machine alone, and has no HTTP."""
    return {
        "DicomAet": title,
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomModalities": {"us": ["STORESCU", "127.0.0.1", 104]},
        "HttpServerEnabled": False,
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        **more,
    }
