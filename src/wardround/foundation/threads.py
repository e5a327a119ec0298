"""Numerical libraries work in one thread each, but where a call asks for more.

By default each takes as many threads as there are cores, and a thread that waits for its share spins. Several
programs of ours share a machine: they would take each other's processors for nothing. What learns and reads says how
many threads it wants.
"""

from __future__ import annotations

import os

ONE_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Variables that the libraries read when they are loaded."""


def one_each() -> None:
    """For this process, where it has loaded none of them yet, and those that it starts; what the environment says
    already stays."""
    for name, value in ONE_EACH.items():
        os.environ.setdefault(name, value)
