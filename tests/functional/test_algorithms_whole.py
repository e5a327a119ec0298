"""Ways to train that need more of each hospital than an update, over real processes: layers of its own, a model trained
alone and statistics taken anew, a package's own Python in a jail. Minutes, most of them for loading PyTorch: `-m slow`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.functional.more_runs import NETWORK, MoreRuns, own_code, package
from tests.functional.small_demo import journey, wishes
from tests.jails import need_jail

from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import StatisticsRow
from wardround.learning.arrays import from_bytes, to_bytes
from wardround.learning.bundle import load_bundle
from wardround.learning.kinds import learner_of
from wardround.learning.lineage import lineage_of
from wardround.node.clinic.own_layers import own_layers, with_own
from wardround.node.policy.verdict import PolicyForbids

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MoreRuns]:
    home = tmp_path_factory.mktemp("algorithms")
    with journey(home / "all", wishes(hospitals=2, rounds=1)) as playing:
        playing.begin()
        playing.fill()
        yield MoreRuns.over(playing.federation, package(home / "package"))


def test_layers_that_stay_at_home_reach_no_hub_and_are_laid_over_the_model_at_each_hospital(runs: MoreRuns) -> None:
    run = runs.run("own-layers", algorithm="fedbn", compare_alone=False)
    assert (RunState(run.state), run.round) == (RunState.FINISHED, 1), run.reason
    runs.fetched(str(run.model))
    with runs.hub.database.reading() as session:
        travelled = [set(from_bytes(runs.hub.objects.get(one.aggregate))) for one in queries.rounds(session, run.id)]
    used = []
    for desk in runs.federation.desks.values():
        package = desk.deployments.package(str(run.model))
        lineage, arrays = lineage_of(package), load_bundle(package)[1]
        assert lineage is not None and lineage.at_home
        assert all(names and names.isdisjoint(lineage.at_home) for names in travelled)
        whole = with_own(package, arrays, own_layers(package, desk.own))
        used.append({name: whole[name].tobytes() for name in lineage.at_home})
        assert used[-1] != {name: arrays[name].tobytes() for name in lineage.at_home}, "not as the run began"
    assert used[0] != used[1], "each hospital has its own"


def test_models_trained_alone_are_merged_with_statistics_taken_anew_or_put_side_by_side(runs: MoreRuns) -> None:
    run, sites = runs.run("merged", runs=2, algorithm={"name": "merge", "ensemble": True}), set(runs.federation.desks)
    assert RunState(run.state) is RunState.FINISHED, run.reason
    with runs.hub.database.reading() as session:
        tries = queries.rounds(session, run.id)
        told = session.scalars(select(StatisticsRow).where(StatisticsRow.run == run.id)).all()
        judged = queries.evaluations(session, run.id)
        weights = session.get_one(ModelRow, run.model).weights
    assert sorted(one.ensemble for one in tries) == [False, True]
    assert {row.site for row in told} == sites
    assert {row.model for row in told}.isdisjoint(one.aggregate for one in tries), "judged are those restated"
    assert all({row.site for row in judged if row.model == one.aggregate} == sites for one in tries)

    again = runs.evaluate(str(run.model), "merged")
    assert (RunState(again.state), again.round) == (RunState.FINISHED, 0), again.reason
    with runs.hub.database.reading() as session:
        second = {row.site: row.score for row in queries.evaluations(session, again.id)}
    assert second == {row.site: row.score for row in judged if row.model == weights}


def test_it_trains_at_hospitals_whose_policy_names_its_very_digest_and_reaches_nobody(
    runs: MoreRuns, tmp_path: Path
) -> None:
    need_jail()
    federation, hub = runs.federation, runs.hub
    weights = to_bytes(learner_of(package(tmp_path / "plain")).initial(1))
    own = package(tmp_path / "own", {**NETWORK, "_target_": "scripts.net.Net"})
    for folder, name, content in (
        ("models", "model.safetensors", weights),
        ("scripts", "net.py", own_code(NETWORK["_target_"], hub.settings.api_port)),
    ):
        (own / folder).mkdir()
        (own / folder / name).write_bytes(content)
    named = MoreRuns.over(federation, own)
    with pytest.raises(PolicyForbids) as refused:
        named.run("not-named", own_code=True, compare_alone=False)
    assert "own_code" in str(refused.value)
    for desk in federation.desks.values():
        file = desk.home.path / "policy.toml"
        file.write_text(file.read_text().replace('# own_code = ["' + "0" * 64, f'own_code = ["{named.digest}'))
    run = named.run("named", own_code=True, compare_alone=False)
    assert (RunState(run.state), run.round) == (RunState.FINISHED, 1), run.reason
    with hub.database.reading() as session:
        [only] = queries.rounds(session, run.id)
        judged = queries.evaluations(session, run.id)
    assert hub.objects.get(only.aggregate) != weights
    assert {row.site for row in judged} == set(federation.desks)
