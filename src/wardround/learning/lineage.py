"""Where a registered model's weights come from, as its package tells it in `configs/metadata.json`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from wardround.contracts.base import Digest, Frozen, ProjectId, RunId
from wardround.learning.bundle import BundleRefused

KEY = "lineage"


class Lineage(Frozen):
    """The run of a project, and the weights as its sites judged them.

    `at_home` names the arrays that each site has of its own and that never reached the hub: the package holds them as
    the run began, and a hospital that took part lays its own over them. `parents` are the digests of the models that
    hospitals trained alone and of which this one was merged.
    """

    run: RunId
    project: ProjectId
    weights_sha256: Digest
    at_home: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    parents: Annotated[tuple[Digest, ...], Field(max_length=1000)] = ()


def lineage_of(bundle: Path) -> Lineage | None:
    """What a package tells; None where it tells nothing, as one that no run made.

    Raises:
        BundleRefused: `unreadable`, it can't be read, or what it tells isn't a lineage.
    """
    try:
        file = bundle / "configs" / "metadata.json"
        stat = file.stat()
        return _told(file, (stat.st_ino, stat.st_mtime_ns, stat.st_size))
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise BundleRefused("unreadable", "the package's metadata.json doesn't tell its lineage soundly") from error


@lru_cache(maxsize=256)
def _told(file: Path, _as_it_is: tuple[int, int, int]) -> Lineage | None:
    """Read when it changed: a clinic asks again before each study."""
    told = json.loads(file.read_bytes()).get(KEY)
    return None if told is None else Lineage.model_validate_json(json.dumps(told))
