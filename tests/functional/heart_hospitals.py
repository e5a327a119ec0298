"""Hospitals with health records of heart disease and no images, as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.functional.more_runs import MoreRuns
from tests.integration.test_heart_federated import rows

from wardround.contracts.cohort_builder import measurement, patients
from wardround.demo.federation import DemoFederation
from wardround.learning.bundle import bundle_digest, packaged

PEOPLE = 60
USUAL = {
    "package": "heart-disease",
    "package_digest": bundle_digest(packaged("heart-disease")),
    "reads": "records",
    "metric": "auc",
    "rounds": 2,
    "local_steps": 10,
    "compare_alone": False,
}


@contextmanager
def heart_hospitals(home: Path, sites: Sequence[str]) -> Iterator[MoreRuns]:
    """A hub and hospitals that serve; all their processes are gone afterwards."""
    federation = DemoFederation(home, sites)
    try:
        federation.found()
        for number, site in enumerate(sites):
            federation.join(site)
            _load_records(federation, site, rows(number, PEOPLE))
            federation.serve(site)
        for site in sites:
            federation.await_ready(site)
        yield MoreRuns(federation, USUAL, patients.with_(measurement("LOINC", "8480-6")).question())
    finally:
        federation.stop()


def _load_records(federation: DemoFederation, site: str, lines: str) -> None:
    folder = federation.home / f"records-{site}"
    folder.mkdir()
    (folder / "processed.here.data").write_text(lines)
    command = ["-m", "wardround", "node", "records", "load", folder, "--as", "csv", "--source", "heart"]
    subprocess.run(
        [sys.executable, *command, "--mapping", "uci-heart", "--home", federation.home / f"node-{site}"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
