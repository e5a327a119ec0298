"""Sites that are cut off for longer than any of the engine's own times: minutes, so `-m slow`.

While a site is cut off these run out: the leg's silence (15 s), the hub's of a client (30 s), the site's wait for a
round (50 s), the relay's (60 s), the site's wait for its update to be counted (120 s). Between two tries to connect
there are at most 10 s.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.integration.engine_lab import Behaviour, FlareFederation, small_model

from wardround.federation.engine import LegState, RoundTask, RoundUpdate
from wardround.federation.flare.controller import SILENCE_SECONDS
from wardround.federation.flare.line import REPLY_SECONDS
from wardround.federation.flare.transport import DELIVERY_SECONDS, PULL_SECONDS
from wardround.federation.provisioning import HUB_SILENCE_SECONDS
from wardround.node.gateway.relay import SILENT_FOR

pytestmark = pytest.mark.slow
SITES = ("alpha", "beta", "gamma")
CUT = 150.0
LONGEST = 600.0


def test_sites_cut_off_for_longer_than_the_engine_waits_are_back_at_the_next_round(tmp_path: Path) -> None:
    """Of beta each connection is closed and none can be made; those of gamma stay open, and carry nothing any more."""
    waits = (SILENCE_SECONDS, HUB_SILENCE_SECONDS, PULL_SECONDS + REPLY_SECONDS, SILENT_FOR, DELIVERY_SECONDS)
    assert max(waits) < CUT
    federation = FlareFederation(tmp_path, SITES)
    run = federation.hub.add(small_model(), sites=SITES, quorum=1, rounds=3, deadline=2 * LONGEST)
    wires, sites = federation.wires, federation.sites
    off = {"beta": wires["beta"].cut, "gamma": wires["gamma"].lose}

    def cut_off(name: str) -> Behaviour:
        def work(task: RoundTask) -> RoundUpdate:
            if task.round == 1:
                off[name]()
            return sites[name].add_step(task)

        return work

    def hold(task: RoundTask) -> RoundUpdate:
        if task.round == 2:
            threading.Event().wait(CUT)
            for name in off:
                wires[name].mend()
        if task.round == 3:
            for name in off:
                sites[name].wait_for(lambda name=name: 3 in sites[name].rounds_of(run), LONGEST)  # type: ignore[misc]
        return sites["alpha"].add_step(task)

    sites["alpha"].behaviours[run.run_id] = hold
    for name in off:
        sites[name].behaviours[run.run_id] = cut_off(name)
    try:
        request = run.next_leg()
        federation.engine.start_leg(request)
        status = federation.engine.wait(request.leg_id, CUT + LONGEST)
    finally:
        federation.close()

    assert status.state is LegState.FINISHED, status
    taken = [sorted(site.site for site in result.sites) for result in run.results]
    assert taken == [["alpha"], ["alpha"], list(SITES)]
    assert [set(result.missing) for result in run.results] == [set(off), set(off), set()]
    assert run.results[1].missing["gamma"] == "no-contact"
