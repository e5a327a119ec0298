"""Nothing is read for a run before the ledger has that it will be, and each use is there once, whatever breaks off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.contracts.ledger_entry import Evidence, Update, Use, read_signed_entry
from wardround.contracts.outbound import LedgerSubmission, Message
from wardround.contracts.task import EvaluateModel, TrainAlone
from wardround.federation.engine import Declined
from wardround.foundation.errors import WardroundError
from wardround.node.audit import Audit
from wardround.node.gateway.errors import HubRefused, HubUnreachable
from wardround.node.training.learner import Judged
from wardround.node.training.preparation import Preparation
from wardround.node.training.tables import DataUse
from wardround.node.training.uses import Uses

ASKED = project()
ABOUT: dict[str, Any] = {"project": "glioma", "project_digest": ASKED.content_digest(), "run": "glioma-1"}


@pytest.fixture
def agreed(lab: NodeLab) -> NodeLab:
    lab.fill()
    lab.agree(ASKED)
    return lab


def uses(lab: NodeLab) -> list[Use]:
    return [entry for entry in lab.ledger() if isinstance(entry, Use)]


def kept(lab: NodeLab) -> list[DataUse]:
    with lab.database.reading() as session:
        return list(session.scalars(select(DataUse).order_by(DataUse.id)))


def of_a_use(message: Message) -> bool:
    return isinstance(message, LedgerSubmission) and read_signed_entry(message.entry.encode()).entry.kind == "use"


def watched(lab: NodeLab) -> list[int]:
    """How many uses the ledger had at each call of the learning process."""
    real, seen = lab.worker.call, []

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        seen.append(len(uses(lab)))
        return real(function, *arguments)

    lab.worker.call = call  # type: ignore[method-assign] # what the process is given is seen from outside
    return seen


def test_each_round_is_on_the_ledger_before_its_data_are_read_at_one_request_more(agreed: NodeLab) -> None:
    lab, seen = agreed, watched(agreed)
    before = len(lab.wire.sent)
    for number in (1, 2):
        lab.participant.take_part(task(ASKED, round_number=number))
    assert seen == [1, 2]
    assert [(use.run, use.purpose, use.round) for use in uses(lab)] == [
        ("glioma-1", "training", 1),
        ("glioma-1", "training", 2),
    ]
    assert {use.manifest for use in uses(lab)} == {lab.decision("glioma").manifest_index}
    assert len(lab.wire.sent) - before == 4, "a use and an update each round"
    assert [row.entry for row in kept(lab)] == [entry.use for entry in lab.ledger() if isinstance(entry, Update)], (
        "each update names the use that it rests on"
    )
    with lab.database.reading() as session:
        begun = session.scalars(select(Audit.subject).where(Audit.verb == "begin-use")).all()
    assert begun == ["glioma-1", "glioma-1"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_leaves_nothing_read_and_the_use_once_on_the_ledger(
    agreed: NodeLab, when: str
) -> None:
    lab = agreed
    lab.wire.cut = lambda message: when if of_a_use(message) else None
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert declined.value.reason == HubUnreachable.code
    assert lab.worker.calls == []
    assert len(uses(lab)) == (when == "after")
    lab.wire.cut = lambda _: None
    # A restart in between: everything anew but the disk.
    lab.participant._uses = Uses(lab.database, lab.entries, lab.clock)
    lab.participant.take_part(task(ASKED))
    assert len(uses(lab)) == len(kept(lab)) == 1
    assert lab.ledger()[-1].use == kept(lab)[0].entry  # type: ignore[union-attr] # an update


def test_a_round_that_is_done_again_is_the_same_use(agreed: NodeLab) -> None:
    lab = agreed
    lab.participant.take_part(task(ASKED))
    lab.worker.raises = RuntimeError("the node dies while it learns")
    with pytest.raises(RuntimeError):
        lab.participant.take_part(task(ASKED))
    lab.worker.raises = None
    lab.participant.take_part(task(ASKED))
    assert len(uses(lab)) == 1


def test_a_use_that_the_hub_refuses_stops_the_round_and_is_made_anew_the_next_time(agreed: NodeLab) -> None:
    lab = agreed
    real = lab.wire.send

    def refuse(message: Message, *rest: Any, **more: Any) -> Any:
        if of_a_use(message):
            raise HubRefused("a test", code="other-history")
        return real(message, *rest, **more)

    lab.wire.send = refuse  # type: ignore[method-assign] # the hub's answer alone is another
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert (declined.value.reason, lab.worker.calls, kept(lab)) == ("other-history", [], [])
    lab.wire.send = real  # type: ignore[method-assign]
    lab.participant.take_part(task(ASKED))
    assert len(uses(lab)) == 1


def test_training_alone_and_judging_are_uses_too(agreed: NodeLab) -> None:
    lab, seen = agreed, watched(agreed)
    work = lab.comparison
    with pytest.raises(WardroundError):  # this hub never began the run; what its ledger has is seen all the same
        work.train_alone(TrainAlone(**ABOUT, rounds=2))
    lab.worker.lesson = cast(Any, Judged("dice", {"somebody": (0.5,)}, training=1))
    model = lab.hub.objects.put(b"the model")
    work._models.put(b"the model")
    for label in ("federated", "local:south"):
        with pytest.raises(WardroundError):
            work.evaluate(EvaluateModel(**ABOUT, model=model, label=label))
    assert seen == [1, 2, 2]
    alone, judging = uses(lab)
    assert (alone.run, alone.purpose, alone.round) == ("glioma-1-alone", "training", 1)
    assert (judging.run, judging.purpose, judging.model) == ("glioma-1", "judging", model)
    places = [row.entry for row in kept(lab)]
    assert [entry.use for entry in lab.ledger() if isinstance(entry, Update | Evidence)] == [
        places[0],
        places[1],
        places[1],
    ]


def test_a_cohort_is_made_ready_only_once_that_is_on_the_ledger(agreed: NodeLab) -> None:
    lab = agreed
    loaded: list[int] = []
    lab.worker.submit = lambda *_: loaded.append(len(uses(lab)))  # type: ignore[attr-defined] # the process's other door
    ready = Preparation(lab.uses, cast(Any, lab.worker))
    assignment = lab.assignments.check("glioma", ASKED.content_digest(), "glioma-1")
    lab.wire.cut = lambda _: "before"
    ready("glioma-1", assignment)
    assert loaded == []
    lab.wire.cut = lambda _: None
    ready("glioma-1", assignment)
    ready("glioma-1", assignment)
    assert loaded == [1, 1]
    assert [use.purpose for use in uses(lab)] == ["preparation"]
