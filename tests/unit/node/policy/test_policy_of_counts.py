"""The least number told is the stricter of the policy's and the settings', at the moment at which it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import CohortAnswer
from wardround.node.cohort.noise import Tally
from wardround.node.desk import Desk
from wardround.node.home import NodeHome
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.leaving import why_not_leaving
from wardround.node.record import wiring

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n[cohort]\nsmallest_told = 60\n'
SOME, MANY = Tally(people=90, counted=30), Tally(people=300, counted=100)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "node.toml").write_text(NODE)
    (tmp_path / "identity").mkdir()
    home = NodeHome(tmp_path)
    home.database.upgrade()
    made = Desk(home)
    yield made
    made.close()


@pytest.mark.parametrize(("policy", "some"), [(10, 90), (60, 90), (100, None)])
def test_the_stricter_of_policy_and_settings_counts(desk: Desk, policy: int, some: int | None) -> None:
    desk.home.policy_file.write_text(f"cohort.smallest_told = {policy}")
    assert desk.discloser.of(SOME) == Count(about=some)
    assert desk.discloser.of(MANY) == Count(about=300)
    assert desk.discloser.of(Tally(people=50, counted=17)) == Count(about=None), "the settings' own bound"


def test_a_change_counts_from_the_next_number_on_and_a_mistake_tells_nothing(desk: Desk) -> None:
    discloser = desk.discloser
    assert discloser.of(SOME) == Count(about=90)
    desk.home.policy_file.write_text("cohort.smallest_told = 100")
    assert discloser.of(SOME) == Count(about=None)
    desk.home.policy_file.write_text("cohort.smallest_tol = 100")
    with pytest.raises(PolicyUnusable):
        discloser.of(MANY)


def test_no_question_is_evaluated_whose_answer_may_not_leave(desk: Desk) -> None:
    assert why_not_leaving(desk.home.policy, CohortAnswer) is None
    for none in (
        "messages_per_day = 0",
        "kind.cohort-answer.bytes_per_hour = 0",
        "kind.cohort-answer.largest_bytes = 0",
    ):
        desk.home.policy_file.write_text(f"leaving.{none}")
        assert why_not_leaving(desk.home.policy, CohortAnswer) == "message-not-allowed", none
    desk.home.policy_file.write_text('leaving.kinds = ["run-update"]')
    assert why_not_leaving(desk.home.policy, CohortAnswer) == "message-not-allowed"
    desk.home.policy_file.write_text("leaving = 3")
    assert why_not_leaving(desk.home.policy, CohortAnswer) == "policy-unusable"


@pytest.mark.parametrize("of_the_enclave", [False, True])
def test_what_an_erasure_tells_the_ledger_is_a_number_like_any_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, of_the_enclave: bool
) -> None:
    monkeypatch.setattr(wiring, "entries_at", lambda *_, **__: None)  # this node hasn't joined
    discloser = (desk.purges if of_the_enclave else wiring.purges_at(desk.home, bytes(32))).discloser
    assert discloser.of(SOME) == Count(about=90)
    desk.home.policy_file.write_text("cohort.smallest_told = 100")
    assert discloser.of(SOME) == Count(about=None)
    desk.home.policy_file.write_text("cohort.smallest_tol = 100")
    assert discloser.of(MANY) == Count(about=None), "it isn't held up, and tells nothing"
