"""The link: a task reaches an idle node at once, none is lost, and what is to leave waits for the hub."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from queue import Queue

import pytest
from tests.federation_lab import PATIENCE, HubLab, eventually

from wardround.contracts.cohort_builder import patients
from wardround.contracts.outbound import TaskReport
from wardround.contracts.task import CountCohort, EndRun
from wardround.foundation.clock import Clock, now
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.hub.sites.tables import Site
from wardround.node.gateway.errors import HubUnreachable
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.link import outbox
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link
from wardround.node.link.tables import OutboxMessage, TakenTask

TASK = EndRun(project="p1", run="r1")
OTHER = CountCohort(project="p1", question=patients.of_sex("F").question())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    lab = HubLab(tmp_path_factory.mktemp("link"))
    lab.start()
    yield lab
    lab.stop()


@contextmanager
def _linked(home: NodeHome, handlers: TaskHandlers, *, clock: Clock = now) -> Iterator[Link]:
    link = Link(home, Gateway(home), handlers, clock=clock, poll_seconds=55)
    link.start()
    try:
        yield link
    finally:
        link.stop()


def _handling(handler: Callable[[EndRun], None]) -> TaskHandlers:
    handlers = TaskHandlers()
    handlers.register(EndRun)(handler)
    return handlers


def _heard(lab: HubLab, site: str) -> bool:
    with lab.home.database.reading() as session:
        return session.get_one(Site, site).heard_at is not None


def test_a_task_queued_by_another_process_wakes_an_idle_node(lab: HubLab) -> None:
    """The node's poll would last 55 seconds; it must not."""
    home = lab.node("idle")
    seen: Queue[EndRun] = Queue()
    program = (
        "import sys; from pathlib import Path\n"
        "from wardround.contracts.task import EndRun\n"
        "from wardround.hub.home import HubHome\n"
        "from wardround.hub.tasks.actions import enqueue\n"
        "with HubHome(Path(sys.argv[1])).database.writing() as session:\n"
        "    enqueue(session, 'idle', EndRun(project='p1', run='r1'))\n"
    )
    with _linked(home, _handling(seen.put)):
        eventually(lambda: _heard(lab, "idle"))
        subprocess.run([sys.executable, "-c", program, str(lab.home.path)], check=True)
        assert seen.get(timeout=PATIENCE) == TASK


def test_each_site_gets_its_own_tasks_and_in_order(lab: HubLab) -> None:
    homes = [lab.node("left"), lab.node("right")]
    seen: list[Queue[str]] = [Queue(), Queue()]
    handlers = [_handling(lambda task, queue=queue: queue.put(task.run)) for queue in seen]
    for number in range(3):
        lab.ask("left", EndRun(project="p1", run=f"left-{number}"))
    lab.ask("right", EndRun(project="p1", run="right-0"))
    with _linked(homes[0], handlers[0]), _linked(homes[1], handlers[1]):
        assert sorted(seen[0].get(timeout=PATIENCE) for _ in range(3)) == ["left-0", "left-1", "left-2"]
        assert seen[1].get(timeout=PATIENCE) == "right-0"
    assert seen[0].empty()
    assert seen[1].empty()


def test_how_a_task_ended_is_told_as_a_code_and_nothing_more(lab: HubLab) -> None:
    home = lab.node("telling")

    def handler(task: EndRun) -> None:
        if task.run == "refused":
            raise NotAllowed("no approval in /srv/node for Jane Doe", code="not-approved")
        if task.run == "failed":
            raise WardroundError("slice missing in /srv/enclave/1.2.3", code="slice-missing")
        if task.run == "worded":
            raise WardroundError("/srv/enclave", code="Jane Doe")

    numbers = {
        run: lab.ask("telling", EndRun(project="p1", run=run)) for run in ("fine", "refused", "failed", "worded")
    }
    unknown = lab.ask("telling", OTHER)
    with _linked(home, _handling(handler)):
        for number in [*numbers.values(), unknown]:
            eventually(lambda number=number: lab.task_state(number)[0] != "queued")
    assert lab.task_state(numbers["fine"]) == ("done", None)
    assert lab.task_state(numbers["refused"]) == ("refused", "not-approved")
    assert lab.task_state(numbers["failed"]) == ("failed", "slice-missing")
    assert lab.task_state(numbers["worded"]) == ("failed", "failed")
    assert lab.task_state(unknown) == ("refused", "no-handler")
    for file in lab.home.path.rglob("hub.db*"):
        assert b"/srv/" not in file.read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_is_a_failed_task(lab: HubLab) -> None:
    home = lab.node("surprised")
    number = lab.ask("surprised", TASK)

    def handler(_task: EndRun) -> None:
        raise ZeroDivisionError("Jane Doe")

    with _linked(home, _handling(handler)):
        eventually(lambda: lab.task_state(number)[0] != "queued")
    assert lab.task_state(number) == ("failed", "internal-error")


def test_a_long_task_holds_up_no_other(lab: HubLab) -> None:
    home = lab.node("busy")
    release, counted = threading.Event(), threading.Event()
    handlers = _handling(lambda _task: assert_set(release))
    handlers.register(CountCohort)(lambda _task: counted.set())
    lab.ask("busy", TASK)
    lab.ask("busy", OTHER)
    with _linked(home, handlers):
        assert counted.wait(PATIENCE)
        release.set()


def assert_set(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


def test_a_task_that_was_cut_short_is_taken_up_again(lab: HubLab) -> None:
    home = lab.node("restarted")
    number = lab.ask("restarted", TASK)
    begun = threading.Event()

    def waits_for_the_hub(_task: EndRun) -> None:
        begun.set()
        raise HubUnreachable("not now")

    with _linked(home, _handling(waits_for_the_hub)):
        assert begun.wait(PATIENCE)
    with home.database.reading() as session:
        assert session.get_one(TakenTask, number).state == "taken"
    seen: Queue[EndRun] = Queue()
    with _linked(home, _handling(seen.put)):
        assert seen.get(timeout=PATIENCE) == TASK
        eventually(lambda: lab.task_state(number) == ("done", None))
    again: Queue[EndRun] = Queue()
    marker = lab.ask("restarted", EndRun(project="p1", run="marker"))
    with _linked(home, _handling(again.put)):
        assert again.get(timeout=PATIENCE).run == "marker"
        eventually(lambda: lab.task_state(marker)[0] == "done")
    assert again.empty()


def test_a_node_that_starts_before_its_hub_waits_for_it(tmp_path: Path) -> None:
    lab = HubLab(tmp_path)
    lab.start()
    home = lab.node("early")
    lab.stop()
    number = lab.ask("early", TASK)
    tried = threading.Event()
    gateway = Gateway(home)
    send = gateway.send

    def counted(*args: object, **kwargs: object) -> object:
        try:
            return send(*args, **kwargs)  # type: ignore[arg-type]
        except HubUnreachable:
            tried.set()
            raise

    gateway.send = counted  # type: ignore[method-assign, assignment]
    link = Link(home, gateway, _handling(lambda _task: None), poll_seconds=55)
    link.start()
    try:
        assert tried.wait(PATIENCE)
        lab.start()
        eventually(lambda: lab.task_state(number) == ("done", None))
        lab.stop()
        later = lab.ask("early", TASK)
        lab.start()
        eventually(lambda: lab.task_state(later) == ("done", None))
    finally:
        link.stop()
        lab.stop()


def test_what_another_process_posts_leaves_while_the_node_runs(lab: HubLab) -> None:
    home = lab.node("posting")
    number = lab.ask("posting", TASK)
    with _linked(home, _handling(lambda _task: None)):
        eventually(lambda: lab.task_state(number)[0] == "done")
        second = lab.ask("posting", TASK)
        eventually(lambda: lab.task_state(second)[0] == "done")
        other = NodeHome(home.path)
        with other.database.writing() as session:
            message = outbox.post(session, other, TaskReport(number=second, outcome="done"))
        other.close()

        def sent() -> bool:
            with home.database.reading() as session:
                return session.get_one(OutboxMessage, message).sent_at is not None

        eventually(sent)


def test_what_is_rolled_back_doesnt_leave(lab: HubLab) -> None:
    home = lab.node("wavering")
    with pytest.raises(ZeroDivisionError), home.database.writing() as session:
        outbox.post(session, home, TaskReport(number=1, outcome="done"))
        raise ZeroDivisionError
    with home.database.reading() as session:
        assert list(outbox.waiting(session)) == []


def test_a_message_refused_for_good_doesnt_hold_up_the_next(lab: HubLab) -> None:
    home = lab.node("stubborn")
    number = lab.ask("stubborn", TASK)
    with home.database.writing() as session:
        bad = outbox.post(session, home, TaskReport(number=9_999_999, outcome="done"))
    with _linked(home, _handling(lambda _task: None)):
        eventually(lambda: lab.task_state(number)[0] == "done")
    with home.database.reading() as session:
        row = session.get_one(OutboxMessage, bad)
        assert row.refused == "task-unknown"
        assert row.sent_at is None


def test_a_certificate_is_renewed_while_the_node_serves(lab: HubLab) -> None:
    home = lab.node("evergreen")
    before = home.certificate.read_bytes()
    seen: Queue[EndRun] = Queue()
    with _linked(home, _handling(seen.put), clock=lambda: now() + timedelta(hours=13)):
        eventually(lambda: home.certificate.read_bytes() != before)
        lab.ask("evergreen", TASK)
        assert seen.get(timeout=PATIENCE) == TASK


def test_a_certificate_that_is_damaged_while_the_node_serves_is_replaced(lab: HubLab) -> None:
    """The living connection was made with what lay there before: over it the hub signs anew."""
    home = lab.node("scratched")
    seen: Queue[EndRun] = Queue()
    ahead = timedelta(0)
    with _linked(home, _handling(seen.put), clock=lambda: now() + ahead) as link:
        lab.ask("scratched", TASK)
        assert seen.get(timeout=PATIENCE) == TASK
        home.certificate.write_text("scratched")
        ahead = timedelta(minutes=2)  # a renewal is tried once a minute
        lab.ask("scratched", TASK)
        assert seen.get(timeout=PATIENCE) == TASK
        eventually(lambda: b"BEGIN CERTIFICATE" in home.certificate.read_bytes())
        lab.ask("scratched", TASK)
        assert seen.get(timeout=PATIENCE) == TASK
        assert link.alive


def test_a_node_that_starts_with_a_damaged_certificate_says_so_and_goes_on_once_it_is_mended(
    lab: HubLab, caplog: pytest.LogCaptureFixture
) -> None:
    home = lab.node("torn")
    whole = home.certificate.read_bytes()
    home.certificate.write_bytes(whole[:300])
    seen: Queue[EndRun] = Queue()
    lab.ask("torn", TASK)
    with _linked(home, _handling(seen.put)) as link:
        eventually(lambda: "certificate-unreadable" in caplog.text)
        assert "put the folder identity back from a backup" in caplog.text
        assert link.alive
        home.certificate.write_bytes(whole)
        assert seen.get(timeout=PATIENCE) == TASK


def test_a_node_without_a_certificate_keeps_its_link(lab: HubLab, caplog: pytest.LogCaptureFixture) -> None:
    home = lab.node("bereft")
    whole = home.certificate.read_bytes()
    home.certificate.unlink()
    seen: Queue[EndRun] = Queue()
    lab.ask("bereft", TASK)
    with _linked(home, _handling(seen.put)):
        eventually(lambda: "no-certificate" in caplog.text)
        home.certificate.write_bytes(whole)
        assert seen.get(timeout=PATIENCE) == TASK


def test_a_site_revoked_while_it_waits_gets_no_more_tasks(lab: HubLab) -> None:
    home = lab.node("outcast")
    first = lab.ask("outcast", TASK)
    seen: Queue[str] = Queue()
    with _linked(home, _handling(lambda task: seen.put(task.run))):
        eventually(lambda: lab.task_state(first)[0] == "done")
        lab.revoke("outcast")
        with pytest.raises(NotAllowed, match="not a member"):
            lab.ask("outcast", EndRun(project="p1", run="too-late"))
    assert seen.get_nowait() == "r1"
    assert seen.empty()
