"""Programs of ours that share a machine don't take each other's processors by threads that spin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """
import sys
sys.argv = ["wardround", "--version"]
from wardround.cli.main import run
try:
    run()
except SystemExit:
    pass
import os
import numpy as np
square = np.ones((1200, 1200), np.float32)
square @ square
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("2", 2)])
def test_a_program_multiplies_in_its_own_thread_but_where_the_environment_says_more(
    said: str | None, threads: int
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if said is not None:
        environment["OPENBLAS_NUM_THREADS"] = said
    told = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(told.stdout.split()[-1]) == threads
