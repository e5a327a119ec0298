"""Nothing that is installed beside Wardround phones home from its processes, unless somebody said so."""

from __future__ import annotations

import os

SILENT = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "MONAI_DATA_DIRECTORY": ""}
"""Variables by which libraries are told so. MONAI imports MLflow where it is installed."""


def fall_silent() -> None:
    """For this process and those that it starts; what the environment says already stays."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
