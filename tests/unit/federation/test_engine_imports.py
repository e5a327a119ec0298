"""Hub and node don't load the engine to use it: only its child processes do."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "wardround.federation.engine",
        "wardround.federation.inprocess",
        "wardround.federation.remote",
        "wardround.federation.flare.hub",
        "wardround.federation.flare.site",
    ],
)
def test_what_hub_and_node_import_loads_neither_engine_nor_torch(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'nvflare', 'torch', 'monai'}} & set(sys.modules)))"

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
