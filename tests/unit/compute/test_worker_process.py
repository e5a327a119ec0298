"""Heavy work in a process of its own: whatever becomes of that process, the program goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.unit.compute import work

from wardround.compute.worker import Worker, WorkerDied

PATIENCE = 30


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test", threads=3, nice=4)
    yield made
    made.stop()


def await_file(path: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def await_gone(*pids: int) -> None:
    """Ended; a child that nobody has waited for yet counts as ended too."""
    deadline = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.02)


def test_it_works_elsewhere_behind_others_and_stays_warm(worker: Worker) -> None:
    assert worker.process_ids() == []
    assert worker.call(work.double, 21) == 42
    pid, threads, niceness = worker.call(work.where)
    assert [pid] == worker.process_ids() and pid != os.getpid()
    assert (threads, niceness) == ("3", os.nice(0) + 4)
    worker.call(work.remember, 1)
    assert worker.call(work.remember, 2) == [1, 2], "what was loaded stays loaded"


def test_an_error_comes_back_whole_and_the_process_stays(worker: Worker) -> None:
    pid = worker.call(work.where)[0]
    with pytest.raises(work.OddError) as raised:
        worker.call(work.fail, "not-learnable")
    assert raised.value.code == "not-learnable"
    assert worker.call(work.where)[0] == pid


def test_a_death_is_told_and_the_next_call_works(worker: Worker) -> None:
    with pytest.raises(WorkerDied) as died:
        worker.call(work.die)
    assert died.value.code == "worker-died"
    assert worker.call(work.double, 2) == 4


def test_a_process_that_died_while_idle_is_replaced_unnoticed(worker: Worker) -> None:
    pid = worker.call(work.where)[0]
    os.kill(pid, signal.SIGKILL)
    await_gone(pid)
    # The executor learns of the death in a thread of its own; until then the work may still be lost with it.
    for _ in range(2):
        try:
            assert worker.call(work.double, 3) == 6
            break
        except WorkerDied:
            continue
    assert worker.submit(work.double, 4).result(PATIENCE) == 8


def test_stop_from_another_thread_ends_the_work_and_what_waits_behind_it(worker: Worker, tmp_path: Path) -> None:
    ends: list[str] = []

    def call(*arguments: object) -> None:
        try:
            worker.call(*arguments)  # type: ignore[arg-type]  # either of two functions
        except WorkerDied as died:
            ends.append(died.code)

    threads = [threading.Thread(target=call, args=(work.never_ends, tmp_path / "started"))]
    threads[0].start()
    pid = await_file(tmp_path / "started")
    for number in range(3):
        threads.append(threading.Thread(target=call, args=(work.double, number)))
        threads[-1].start()
    deadline = time.monotonic() + PATIENCE
    while worker._pool is not None and len(worker._pool._pending_work_items) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.stop()
    for thread in threads:
        thread.join(PATIENCE)
    await_gone(pid)
    assert ends == ["worker-died"] * 4
    assert worker.call(work.double, 5) == 10


def test_one_callers_death_doesnt_end_the_process_of_the_next(worker: Worker) -> None:
    """Two calls die with one process; a third has begun on a new one before the second hears of it."""
    first, second = worker.submit(work.die), worker.submit(work.double, 1)
    for lost in (first, second):
        with pytest.raises(Exception, match="terminated abruptly"):
            lost.result(PATIENCE)
    pid = worker.call(work.where)[0]
    with pytest.raises(WorkerDied):
        _again(worker, second)
    assert worker.call(work.where)[0] == pid


def _again(worker: Worker, lost: object) -> None:
    """`worker.call` as it goes on when its work, `lost`, comes back."""
    real, worker.submit = worker.submit, lambda *_: lost  # type: ignore[method-assign,assignment,misc,return-value]
    try:
        worker.call(work.double, 1)
    finally:
        worker.submit = real  # type: ignore[method-assign]


PARENT = """
import sys, threading
from pathlib import Path
from tests.unit.compute import work
from wardround.compute.worker import Worker
if __name__ == "__main__":
    worker = Worker("test")
    worker.submit(work.never_ends, Path(sys.argv[1]))
    threading.Event().wait()
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_however_that_ends(tmp_path: Path, ending: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = str(Path(__file__).parents[3])
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path / "started"], env={**os.environ, "PYTHONPATH": root}, cwd=root
    )
    try:
        pid = await_file(tmp_path / "started")
        parent.send_signal(ending)
        parent.wait(PATIENCE)
        await_gone(pid)
    finally:
        parent.kill()
        parent.wait()


def test_the_process_begins_without_torch(worker: Worker) -> None:
    assert not worker.call(work.has_torch)
