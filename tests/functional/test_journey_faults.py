"""What hospitals' machines do: a node dies in the middle of a round, the engine's server dies between rounds."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from tests.functional.small_demo import journey, wishes

from wardround.demo.journey import Journey
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.ledger.verification import verify


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Three hospitals that have approved the project; a run needs two of them. The last test takes one of them away."""
    with journey(tmp_path_factory.mktemp("faults"), wishes(hospitals=3, rounds=4, patients=4)) as playing:
        asked = playing.project().model_copy(update={"runs": 2})
        playing.project = lambda: asked  # type: ignore[method-assign]  # each test has a run of its own
        playing.begin()
        playing.fill()
        playing.agree()
        yield playing


def _whole_rounds(playing: Journey) -> int:
    assert playing.federation.hub is not None
    with playing.federation.hub.database.reading() as session:
        return queries.row_of(session, playing.story.run).round


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def test_the_run_goes_on_from_the_last_whole_round_when_the_engine_dies(agreed: Journey) -> None:
    run = agreed.start_run()
    agreed.federation.wait_for("the first round", lambda: _whole_rounds(agreed) >= 1, within=180)
    hub = agreed.federation.programs["hub"].pid
    servers = [process for process in psutil.Process(hub).children() if "server" in process.cmdline()]
    assert len(servers) == 1
    servers[0].kill()
    agreed.await_run(within=300)
    assert agreed.federation.hub is not None
    with agreed.federation.hub.database.reading() as session:
        rounds = queries.rounds(session, run)
        legs = queries.legs(session, run)
        verified = verify(session, agreed.federation.hub.ledger_signer.verifier)
    assert [found.number for found in rounds] == [1, 2, 3, 4]
    assert len(legs) >= 2 and legs[0].state == "failed" and legs[-1].state == "finished"
    assert legs[1].first_round == legs[0].last_round + 1
    assert verified.problems == ()


def test_the_run_goes_on_without_a_node_that_was_killed(agreed: Journey) -> None:
    run = agreed.start_run()
    agreed.federation.wait_for("the first round", lambda: _whole_rounds(agreed) >= 1, within=180)
    lost = agreed.federation.sites[-1]
    program = agreed.federation.programs.pop(f"node-{lost}")
    for process in _family(program.pid):
        process.kill()
    program.stop()

    def finished() -> bool:
        assert agreed.federation.hub is not None
        with agreed.federation.hub.database.reading() as session:
            found = queries.row_of(session, run)
            return found.round == 4 or RunState(found.state).over

    agreed.federation.wait_for("the other rounds", finished, within=240)
    assert agreed.federation.hub is not None
    with agreed.federation.hub.database.reading() as session:
        last = queries.round_sites(session, run, 4)
    taken = {site.site for site in last if site.state == "taken"}
    missing = {site.site: site.reason for site in last if site.state == "missing"}
    assert taken == set(agreed.federation.sites) - {lost}
    assert list(missing) == [lost] and missing[lost]
