"""What the benchmarks share: how they tell the machine, and the Orthanc that they measure beside us."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def machine() -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {' '.join(f'{one:.1f}' for one in os.getloadavg())}, {time.strftime('%Y-%m-%d %H:%M')}"
    )


def family_cpu(process: psutil.Process) -> float:
    """Processor seconds, user's and system's, of a process and of its children, those that have ended too."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended, and counts among its parent's children
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def family_memory(process: psutil.Process) -> float:
    """Peak memory of a process and of its children that run, added up, in MB; pages that they share count in each."""
    family = [process, *process.children(recursive=True)]
    lines: list[str] = []
    for one in family:
        with suppress(OSError):  # storescp's children end with their association
            lines += Path(f"/proc/{one.pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def emptied(folder: Path) -> None:
    """Give the disk back what the files of a folder hold, and leave their names.

    ext4 looks past each file that was removed within the last minutes whenever it makes a new one; removed files would
    so slow down whoever is measured next, by ten times what making a file takes otherwise.
    """
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            os.truncate(file, 0)


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
