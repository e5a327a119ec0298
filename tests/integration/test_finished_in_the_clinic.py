"""A model that a hospital bought or built, an ONNX file or a program in a jail, judged, deployed and reading here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.clinic_lab import Clinic, ToyReader, made
from tests.finished_lab import VOLUME, onnx_file, package, program
from tests.integration.test_clinic_kinds import InThisProcess, slices, volume
from tests.integration.test_own_validation import Hospital
from tests.jails import need_jail

from wardround.compute import jail
from wardround.compute.jail import JailUnavailable
from wardround.contracts.ledger_entry import Deployment
from wardround.foundation.errors import NotAllowed
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import ReadingState
from wardround.node.evidence.ladder import NotYet
from wardround.node.policy.rules import Policy, ProjectRules
from wardround.node.policy.verdict import PolicyForbids

PROGRAM = {"command": ["python", "main.py"], "modality": "MR"}
WARY = """
import os, socket
from pathlib import Path
import pydicom
from wardround.dicom.segmentation import write_segmentation
from wardround.dicom.volume import read_volume

slices = [pydicom.dcmread(one) for one in sorted(Path(os.environ["HOLOSCAN_INPUT_PATH"]).iterdir())]
words = ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber")
assert not any(ds.get(word) for ds in slices for word in words)
assert not Path("MODELS").exists()
try:
    socket.create_connection(("127.0.0.1", int("PORT")), 2)
except OSError:
    pass
else:
    raise SystemExit("there is a network")
image = read_volume(slices).array
Path("/out/found.dcm").write_bytes(write_segmentation(slices, image > 1500, model_name="m", model_version="1"))
"""


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    yield from made(tmp_path, package, InThisProcess())


@pytest.fixture(scope="module")
def jailed() -> None:
    need_jail()


def bring(clinic: Clinic, folder: Path, source: Path, output: str = "", more: str = "", **said: Any) -> None:
    """The data controller adds it, the policy names it where it is a program, and a pathway's file does."""
    clinic.digest = clinic.packages.add(package(folder, source, **said)[0])
    if source.is_dir():
        allow(clinic, clinic.digest)
    clinic.define(output=output or 'kind = "outline"\nof = "block"', more=more)


def allow(clinic: Clinic, *digests: str) -> None:
    """The policy names these programs, and no others."""
    clinic.node.policy = Policy(projects=ProjectRules(own_code=digests))


def arrive(clinic: Clinic, number: int = 1) -> None:
    for part10 in slices(number, bright=True):
        clinic.node.door.give(part10, called="CLINIC")
    clinic.node.door.complete()
    clinic.pathway.tick()


def bright_ml() -> float:
    image, spacing = volume(1, bright=True)
    return np.count_nonzero(image > 1500) * float(np.prod(spacing)) / 1000


def bright_onnx(folder: Path) -> Path:
    """Marks what is brighter than three quarters of the way to the brightest."""
    return onnx_file(folder / "m.onnx", weight=20, bias=-15)


def test_an_onnx_file_is_deployed_and_its_result_is_in_the_pacs(clinic: Clinic, tmp_path: Path) -> None:
    preparation = {**VOLUME, "brightness": {"low": 0, "high": 2000}}
    bring(clinic, tmp_path / "p", bright_onnx(tmp_path), preparation=preparation)
    with pytest.raises(NotYet):
        clinic.deployments.deploy(clinic.digest, "brain", actor="person:officer")
    clinic.deploy()
    clinic.pacs.up()
    arrive(clinic)
    [line] = clinic.lines()
    assert line.state == ReadingState.DELIVERED
    assert line.volume_ml == pytest.approx(bright_ml())
    kinds = [str(taken.Modality) for taken in clinic.pacs.taken]
    assert kinds[:2] == ["SEG", "SR"]
    assert "OpenVINO" in clinic.pacs.taken[1].to_json() and "against ONNX Runtime" in clinic.pacs.taken[1].to_json()
    clinic.node.entries.submit_waiting(clinic.node.database)
    assert [one.model for one in clinic.node.ledger() if isinstance(one, Deployment)] == [clinic.digest]


def test_a_hospital_judges_its_own_onnx_file_before_it_serves(tmp_path: Path, package: tuple[str, bytes]) -> None:
    for clinic in made(tmp_path, package, ToyReader()):
        hospital = Hospital(clinic, tmp_path / "node")
        bring(clinic, tmp_path / "p", bright_onnx(tmp_path), preparation=VOLUME)
        digest = hospital.plan()
        hospital.allow(digest)
        record = hospital.validate(digest)
        assert len(record.cases) == 4 and all(one.dice is not None for one in record.cases.values())
        clinic.node.entries.submit_waiting(clinic.node.database)
        hospital.deploy()


def test_a_program_reads_in_a_jail_and_learns_of_nobody(clinic: Clinic, tmp_path: Path, jailed: None) -> None:
    clinic.pacs.up()
    text = WARY.replace("PORT", str(clinic.pacs.port)).replace("MODELS", str(clinic.models))
    bring(clinic, tmp_path / "p", program(tmp_path / "s", text), network=PROGRAM)
    clinic.deploy()
    arrive(clinic)
    [line] = clinic.lines()
    assert (line.state, line.reason) == (ReadingState.DELIVERED, "")
    assert line.volume_ml == pytest.approx(bright_ml())
    result, source = clinic.pacs.taken[0], slices(1, bright=True)
    assert result.Modality == "SEG" and result.PatientID in str(source), "the node says whose it is, not the program"
    assert "a program in a jail" in clinic.pacs.taken[1].to_json()
    left = [one.name for one in clinic.models.iterdir() if one.name.startswith(".")]
    assert left == [], "no image lies there once it was read"


ENDLESS, GREEDY = "while :; do :; done", "head -c 3000000000 /dev/zero | tail -c 3000000000 > /dev/null"


@pytest.mark.parametrize(
    ("text", "output", "reason"),
    [
        ("exit 3", "", "failed"),
        ("true", "", "wrong-answer"),
        ("cp $HOLOSCAN_INPUT_PATH/00000.dcm /out/a.dcm", "", "wrong-answer"),
        ("ln -s /etc/passwd /out/a.dcm", "", "failed"),
        (ENDLESS, "", "out-of-time"),
        # Whichever is first: the bound of each process, by which its own call fails, or the look at all of them.
        (GREEDY, "", "out-of-memory or failed"),
        ("echo '{\"value\": 1.5}' > /out/result.json", "class", "wrong-answer"),
        ("echo '{\"value\": NaN}' > /out/result.json", "class", "wrong-answer"),
        ("echo '{\"value\": 0.75}' > /out/result.json", "class", ""),
    ],
)
def test_what_a_program_does_costs_its_own_study_at_most(
    clinic: Clinic, tmp_path: Path, jailed: None, text: str, output: str, reason: str
) -> None:
    target = {"kind": "class", "fact": {"of": "condition", "code": "SNOMED:1"}}
    said = {"target": target, "metric": "auc"} if output else {}
    bring(
        clinic,
        tmp_path / "p",
        program(tmp_path / "s", text, "run.sh"),
        output=f'kind = "{output}"\nof = "block"' if output else "",
        more=f"[runtime]\nseconds = {7 if text == ENDLESS else 65}\nmemory_gb = 0.05",
        network={"command": ["sh", "run.sh"], "modality": "MR"},
        **said,
    )
    clinic.deploy()
    clinic.pacs.up()
    arrive(clinic)
    [line] = clinic.lines()
    assert line.reason in reason.split(" or ")
    if not reason:
        assert (line.state, line.value) == (ReadingState.DELIVERED, 0.75)


def test_a_program_that_the_policy_does_not_name_is_not_judged_nor_used(
    tmp_path: Path, package: tuple[str, bytes], jailed: None
) -> None:
    for clinic in made(tmp_path, package, InThisProcess()):
        hospital = Hospital(clinic, tmp_path / "node")
        bring(clinic, tmp_path / "p", program(tmp_path / "s"), network=PROGRAM)
        digest = hospital.plan()
        hospital.allow(digest)
        allow(clinic, "0" * 64)
        clinic.validate()
        for step in (hospital.plan, partial(hospital.validate, digest), hospital.deploy):
            with pytest.raises(PolicyForbids, match=f'add "{clinic.digest}" there') as refused:
                step()
            assert refused.value.code == "own-code-not-allowed"
        with clinic.node.database.reading() as session:
            assert active(session) == []


def test_a_program_is_run_no_more_once_the_policy_names_it_no_more(
    clinic: Clinic, tmp_path: Path, jailed: None
) -> None:
    bring(clinic, tmp_path / "p", program(tmp_path / "s"), network=PROGRAM)
    clinic.deploy()
    allow(clinic)
    arrive(clinic)
    assert clinic.states() == [], "it isn't even asked"
    allow(clinic, clinic.digest)
    clinic.pacs.up()
    clinic.pathway.tick()
    assert clinic.states() == [("delivered", "")]


def test_where_no_jail_can_be_had_a_program_is_refused_and_nothing_runs(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(clinic, tmp_path / "p", program(tmp_path / "s"), network=PROGRAM)
    clinic.validate()
    monkeypatch.setattr(jail, "_unavailable", lambda: "there is no `bwrap` on this machine")
    with pytest.raises(JailUnavailable):
        clinic.deployments.deploy(clinic.digest, "brain", actor="person:officer")
    with clinic.node.database.reading() as session:
        assert active(session) == []


def test_a_jail_that_went_away_fails_the_study_and_says_why(
    clinic: Clinic, tmp_path: Path, jailed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(clinic, tmp_path / "p", program(tmp_path / "s"), network=PROGRAM)
    clinic.deploy()
    monkeypatch.setattr(jail, "_unavailable", lambda: "bubblewrap gets no namespaces on this machine")
    arrive(clinic)
    assert clinic.states() == [("failed", "no-jail")]


def test_it_has_to_give_what_the_pathway_is_of(clinic: Clinic, tmp_path: Path) -> None:
    bring(clinic, tmp_path / "p", program(tmp_path / "s"), 'kind = "class"\nof = "block"', network=PROGRAM)
    clinic.validate()
    with pytest.raises(NotAllowed, match="gives outline"):
        clinic.deployments.deploy(clinic.digest, "brain", actor="person:officer")
