"""The whole journey with marked patients: it ends well, and no mark is but where it may be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
import pytest
from tests.functional.more_runs import MoreRuns
from tests.functional.small_demo import journey, processes_below, wishes

from wardround.contracts.disclosure import UNTOLD
from wardround.demo.federation import DemoFederation
from wardround.demo.identities import Canaries
from wardround.demo.play import export
from wardround.demo.report import report
from wardround.hub.home import HubHome
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.learning.bundle import bundle_digest, load_bundle, packaged

ROUNDS = 2
MAY_HOLD_IDENTITIES = ("clinical", "results", "vault")
"""Of a node's home: the clinical path's own studies and results, which never leave, and the sealed vault."""


class Played(NamedTuple):
    """`judged` is a run of the journey's model that trains nothing."""

    home: Path
    federation: DemoFederation
    report: dict[str, Any]
    canaries: Canaries
    model: str
    exported: Path
    judged: RunRow


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    home = tmp_path_factory.mktemp("journey")
    canaries = Canaries()
    with journey(home / "all", wishes(hospitals=2, rounds=ROUNDS, canaries=canaries)) as playing:
        story = playing.play()
        found = report(playing.federation, story, seconds=1.0)
        export(playing.federation, story.model, home / "exported")
        more = MoreRuns.of(playing.federation, bundle_digest(packaged()))
        more.agree("judged", compare_alone=False)
        judged = more.evaluate(story.model, "judged")
    return Played(home / "all", playing.federation, found, canaries, story.model, home / "exported", judged)


def test_nothing_is_left_running(played: Played) -> None:
    assert processes_below(played.home) == []


def test_every_study_arrived_and_none_was_refused(played: Played) -> None:
    sites = played.report["sites"]
    assert [site["instances_refused"] for site in sites.values()] == [0, 0]
    assert [site["studies_received"] for site in sites.values()] == [7, 7]
    # One of the first hospital's came on the clinical path alone, and nobody learned from it.
    assert [site["training_studies"] + site["validation_studies"] for site in sites.values()] == [6, 7]


def test_a_count_below_ten_is_not_told(played: Played) -> None:
    assert set(played.report["cohort"].values()) == {UNTOLD}


def test_all_rounds_are_whole_and_both_hospitals_in_each(played: Played) -> None:
    run = played.report["run"]
    assert (run["engine"], run["algorithm"], run["ended_by"]) == ("flare", "fedavg", "last-round")
    assert [found["round"] for found in run["rounds"]] == list(range(1, ROUNDS + 1))
    assert all(len(found["sites"]) == 2 and not found["missing"] for found in run["rounds"])
    assert all(found["bytes_up"] > 0 and found["bytes_down"] > 0 for found in run["rounds"])


def test_models_are_judged_together_and_alone(played: Played) -> None:
    models = played.report["models"]
    for group in ("federated", "local", "local_at_home"):
        assert 0 <= models[group]["mean"] <= 1
        assert {site for site in models[group] if site != "mean"} == set(played.report["sites"])
    everyone = sum(site["validation_studies"] for site in played.report["sites"].values())
    assert all(models["local"][site]["patients"] == everyone for site in played.report["sites"])


def test_a_registered_model_is_judged_again_and_nothing_is_trained(played: Played) -> None:
    again = played.judged
    assert (RunState(again.state), again.round) == (RunState.FINISHED, 0), again.reason
    hub = HubHome(played.home / "hub")
    with hub.database.reading() as session:
        told = {row.site: row.score for row in queries.evaluations(session, again.id)}
    hub.close()
    assert set(told) == set(played.report["sites"])
    assert all(score is not None and 0 <= score <= 1 for score in told.values())


def test_ledger_is_verified_by_the_hub_and_by_each_hospital(played: Played) -> None:
    ledger = played.report["ledger"]
    assert ledger["verified"]
    assert ledger["witnesses"] == sorted(played.report["sites"])
    assert ledger["verified_by"] == sorted([*played.report["sites"], "hub"])
    # Per site: member, approval, manifest, an update a round, one alone, evidence of each model judged.
    assert ledger["entries"] >= 2 * (3 + ROUNDS + 1 + 3) + ROUNDS + 2


def test_the_result_in_the_pacs_is_valid_marked_as_shadow_and_apart_from_what_the_ward_sees(played: Played) -> None:
    clinic = played.report["clinic"]
    file = played.federation.pacs_apart(clinic["site"]) / f"{clinic['seg_sop_instance_uid']}.dcm"
    assert list(played.federation.pacs_incoming(clinic["site"]).iterdir()) == []
    found = pydicom.dcmread(file)
    assert found.SOPClassUID.name == "Segmentation Storage"
    assert "SHADOW" in str(found.SeriesDescription).upper()
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    told = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
    assert "Error" not in told.stderr + told.stdout


def test_the_exported_model_is_the_registered_one(played: Played) -> None:
    assert bundle_digest(played.exported) == played.model
    bundle, arrays = load_bundle(played.exported)
    assert bundle.name == "brain-mri-glioma" and arrays


def test_quarantine_is_empty_once_all_is_in_the_enclave(played: Played) -> None:
    for site in played.report["sites"]:
        quarantine = played.home / f"node-{site}" / "quarantine"
        left = [path for path in quarantine.rglob("*") if path.is_file() and path.stat().st_size]
        assert left == []


def test_no_identity_is_in_enclave_hub_or_logs(played: Played) -> None:
    marked: list[str] = []
    looked_at = 0
    for folder in [played.home / "hub", *(played.home / f"node-{site}" for site in played.report["sites"])]:
        for path in _files(folder):
            if path.relative_to(folder).parts[0] in MAY_HOLD_IDENTITIES:
                continue
            looked_at += 1
            if played.canaries.found_in(path.read_bytes()) or played.canaries.found_in(str(path).encode()):
                marked.append(str(path.relative_to(played.home)))
    assert looked_at > 100
    assert marked == []


def test_the_marks_were_really_sent(played: Played) -> None:
    site = played.report["clinic"]["site"]
    clinical = list(_files(played.home / f"node-{site}" / "clinical"))
    assert clinical and all(played.canaries.found_in(path.read_bytes()) for path in clinical)


def test_the_vault_is_sealed(played: Played) -> None:
    for site in played.report["sites"]:
        for path in _files(played.home / f"node-{site}" / "vault"):
            assert played.canaries.found_in(path.read_bytes()) == []


def test_keys_are_readable_by_their_owner_alone(played: Played) -> None:
    keys = [path for path in _files(played.home) if path.suffix == ".key" and "identity" in path.parts]
    assert len(keys) >= 9
    assert [path.name for path in keys if path.stat().st_mode & 0o077] == []


def test_the_report_is_json(played: Played) -> None:
    assert json.loads(json.dumps(played.report)) == played.report


def _files(folder: Path) -> list[Path]:
    found = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return [path for path in found if not path.is_socket()]
