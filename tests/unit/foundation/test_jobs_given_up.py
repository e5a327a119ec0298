"""Work beside a page: it tells how far it is, one goes on under a name, and what was given up isn't done after all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from wardround.foundation.errors import Conflict, NotFound
from wardround.foundation.jobs import Far, GivenUp, Job, Jobs

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
LONG = 60.0


class Work:
    """Work that stands still at each of its steps until it is let on."""

    def __init__(self) -> None:
        self.begun, self.on, self.kept, self.settled = (threading.Event() for _ in range(4))

    def __call__(self, job: Job[str]) -> str:
        job.tell("it counts", 1, 2)
        self.begun.set()
        with job.ended_by(self.on.set):
            assert self.on.wait(LONG)
        job.settle()
        self.settled.set()
        assert self.kept.wait(LONG)
        return "done"


@pytest.fixture
def jobs() -> Iterator[Jobs[str]]:
    found: Jobs[str] = Jobs("test")
    yield found
    found.stop()


def test_one_goes_on_under_a_name_and_says_how_far_it_is(jobs: Jobs[str]) -> None:
    work = Work()
    job = jobs.begin("glioma", work, at=AT)
    assert work.begun.wait(LONG) and job.under_way
    assert (job.since, job.far) == (AT, Far("it counts", 1, 2))
    with pytest.raises(Conflict, match="under way already"):
        jobs.begin("glioma", work, at=AT)
    assert jobs.join("glioma", work, at=AT) is job and not job.over_within(0)
    work.on.set()
    work.kept.set()
    assert job.result(LONG) == "done" and jobs.of("glioma") is job
    assert jobs.join("glioma", work, at=AT).result(LONG) == "done"
    assert jobs.of("glioma") is not job


def test_what_was_given_up_is_not_done_and_what_it_waited_for_is_ended(jobs: Jobs[str]) -> None:
    work = Work()
    job = jobs.begin("glioma", work, at=AT)
    assert work.begun.wait(LONG)
    jobs.give_up("glioma")
    with pytest.raises(GivenUp):
        job.result(LONG)
    assert not work.settled.is_set() and "given up" in job.fault
    with pytest.raises(NotFound):
        jobs.give_up("glioma")


def test_what_is_being_kept_cannot_be_given_up_any_more(jobs: Jobs[str]) -> None:
    """So that nobody is told, and no audit says, that it was given up when it was done."""
    work = Work()
    job = jobs.begin("glioma", work, at=AT)
    work.on.set()
    assert work.settled.wait(LONG)
    with pytest.raises(Conflict, match="too late"):
        jobs.give_up("glioma")
    work.kept.set()
    assert job.result(LONG) == "done"


def test_a_fault_of_the_program_is_told_without_its_words(jobs: Jobs[str], caplog: pytest.LogCaptureFixture) -> None:
    def broken(_job: Job[str]) -> str:
        raise ValueError("/secret/path")

    job = jobs.begin("glioma", broken, at=AT)
    assert job.over_within(LONG)
    assert job.fault == "a fault of this program; its log says where"
    assert "secret" not in job.fault
    jobs.stop()
    assert "test of glioma failed" in caplog.text


def test_the_end_of_a_program_gives_up_what_is_under_way_and_what_waits_its_turn() -> None:
    jobs: Jobs[str] = Jobs("test")
    works = {f"project-{number}": Work() for number in range(9)}
    found = [jobs.begin(name, work, at=AT) for name, work in works.items()]
    jobs.stop()
    for job in found:
        with pytest.raises(GivenUp):
            job.result(0)
