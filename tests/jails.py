"""Tests of what runs in a jail, on a machine that may not be able to make one."""

from __future__ import annotations

import os

import pytest

from wardround.compute.jail import JailUnavailable, check_jail


def need_jail() -> None:
    """Skip the test, or the module that says so, where this machine can't make a jail; in CI it has to."""
    try:
        check_jail()
    except JailUnavailable as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing), allow_module_level=True)
