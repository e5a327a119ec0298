"""Runs with several protections and algorithms over real processes: three hospitals and their health records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.functional.heart_hospitals import heart_hospitals
from tests.functional.more_runs import MoreRuns, added, own_code
from tests.jails import need_jail

from wardround.demo.journey import CONTROLLER, begin_run
from wardround.hub.runs import queries
from wardround.hub.runs.reasons import in_words
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import packaged
from wardround.learning.kinds import learner_of
from wardround.node.budget.queries import charges
from wardround.node.policy.verdict import PolicyForbids
from wardround.node.projects.approval import approve

SITES = ("north", "south", "east")
ROUNDS = 2


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MoreRuns]:
    with heart_hospitals(tmp_path_factory.mktemp("hospitals"), SITES) as runs:
        yield runs


def rounds(hospitals: MoreRuns, run: str) -> list[tuple[float | None, set[str]]]:
    """For each round how good its beginning was, as the hub was told, and who took part."""
    with hospitals.hub.database.reading() as session:
        found = queries.rounds(session, run)
        return [
            (one.score, {site.site for site in queries.round_sites(session, run, one.number) if site.state == "taken"})
            for one in found
        ]


def test_masked_updates_of_patients_private_training_make_a_model(hospitals: MoreRuns) -> None:
    run = hospitals.run(
        "masked",
        masking={"threshold": 3},
        privacy={"clip_norm": 1.0},
        patient_privacy={"epsilon": 8, "noise_multiplier": 2.0, "sample_rate": 0.2},
    )
    assert (RunState(run.state), run.round) == (RunState.FINISHED, ROUNDS), run.reason
    (first, _), (_, everyone) = rounds(hospitals, run.id)
    assert (first, everyone) == (None, set(SITES)), "no hospital told how good a round was before the last"
    for site in SITES:
        with hospitals.federation.desks[site].home.database.reading() as session:
            paid = charges(session, "masked")
        assert [(one.round, one.steps) for one in paid] == [(number, 10) for number in range(1, ROUNDS + 1)]
        assert 0 < paid[0].epsilon < paid[-1].epsilon <= 8


@pytest.mark.parametrize("algorithm", ["scaffold", "ditto"])
def test_hospitals_that_keep_arrays_of_their_own_make_a_model(hospitals: MoreRuns, algorithm: str) -> None:
    run = hospitals.run(algorithm, algorithm=algorithm)
    assert (RunState(run.state), run.round) == (RunState.FINISHED, ROUNDS), run.reason
    scores = [score for score, _ in rounds(hospitals, run.id)]
    assert scores[-1] is not None and scores[-1] > 0.8


def package_with_code(folder: Path, port: int) -> Path:
    """That of heart disease, with a network of its own which won't be made where it can reach that port."""
    weights = learner_of(packaged("heart-disease")).initial(1)
    shutil.copytree(packaged("heart-disease"), folder)
    inference = json.loads((folder / "configs/inference.json").read_text())
    code = own_code(inference["network_def"]["_target_"], port)
    inference["network_def"]["_target_"] = "scripts.net.Net"
    (folder / "configs/inference.json").write_text(json.dumps(inference))
    for name, content in {"models/model.safetensors": to_bytes(weights), "scripts/net.py": code}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_packages_own_python_runs_in_a_jail_where_a_person_named_it_and_the_others_refuse(
    hospitals: MoreRuns, tmp_path: Path
) -> None:
    need_jail()
    folder = package_with_code(tmp_path / "package", hospitals.hub.settings.api_port)
    digest = added(hospitals.federation, folder)
    usual = {**hospitals.usual, "package_digest": digest, "own_code": True, "rounds": 1, "local_steps": 2, "quorum": 1}
    desks = hospitals.federation.desks
    policies = {site: desks[site].home.path / "policy.toml" for site in SITES}
    as_they_were = {site: file.read_text() for site, file in policies.items()}
    for site in ("north", "east"):
        named = as_they_were[site].replace('# own_code = ["' + "0" * 64, f'own_code = ["{digest}')
        assert named != as_they_were[site]
        policies[site].write_text(named)
    runs = replace(hospitals, usual=usual)
    asked = runs.agree("own-python", sites=("north", "east"))
    with pytest.raises(PolicyForbids, match="own_code"):
        approve(desks["south"], "own-python", asked.content_digest(), actor=CONTROLLER)
    policies["east"].write_text(as_they_were["east"])  # somebody thought better of it

    run = runs.ended(begin_run(hospitals.hub, asked))

    policies["north"].write_text(as_they_were["north"])
    assert (RunState(run.state), run.round) == (RunState.FINISHED, 1), run.reason
    with hospitals.hub.database.reading() as session:
        [only] = queries.rounds(session, run.id)
        parts = {site.site: (site.state, site.reason) for site in queries.round_sites(session, run.id, 1)}
        judged = {row.site for row in queries.evaluations(session, run.id)}
    assert hospitals.hub.objects.get(only.aggregate) != (folder / "models/model.safetensors").read_bytes()
    assert parts == {"north": ("taken", ""), "east": ("missing", "declined: own-code-not-allowed")}
    assert in_words(parts["east"][1])
    assert judged == {"north"}
