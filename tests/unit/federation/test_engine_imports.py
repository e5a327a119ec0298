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


def test_a_sites_process_of_a_leg_loads_its_own_side_alone() -> None:
    """Every leg starts one at each site, and waits for what it imports."""
    program = (
        "import sys; from wardround.federation.flare import executor, process; process.know_two_drivers(); "
        "print(sorted({'pydantic', 'aiohttp', 'torch', 'wardround.federation.leg'} & set(sys.modules)))"
    )

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
