"""The nursery of the engine's job processes, in a program of its own: it is split off before anything has a thread."""

from __future__ import annotations

import subprocess
import sys

import psutil

BEGIN = """
import os, signal, sys
from wardround.federation.flare.nursery import Birth, NurseryLost, split_off

found = split_off("tried")
if isinstance(found, Birth):
    what, *rest = found.arguments
    if what == "end":
        sys.exit(int(rest[0]))
    if what == "tell":
        held = [os.path.realpath(f"/proc/self/fd/{one}").split("/")[-1] for one in os.listdir("/proc/self/fd")]
        kinds = [sum(one.startswith(kind) for one in held) for kind in ("socket", "pipe", "anon_inode")]
        print(os.environ["SAID"], open("/proc/self/comm").read().strip(), os.getpgid(0) == os.getpid(), *kinds)
        sys.exit()
    os.read(found.lifeline, 1)
    os._exit(0)

def born(*words):
    return found.bear(words, {"SAID": "something"})

"""


def told(program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")[:-1]


def test_what_is_born_ends_as_a_process_that_was_started_and_is_known_by_its_exit_code() -> None:
    program = """
first, second, third = born("end", "0"), born("end", "7"), born("stay")
print(first.wait(), second.wait(), third.poll())
third.kill()
print(third.wait(), third.poll())
third.kill()
"""
    assert told(program) == ["0 7 None", "-9 -9"]


def test_what_is_born_has_its_own_group_what_it_was_told_and_nothing_of_its_siblings() -> None:
    # The pipes are standard output and error, and its lifeline.
    program = 'other = born("stay")\nborn("tell").wait()\nother.kill()'
    assert told(program) == ["something tried True 0 3 0"]


def test_what_is_born_ends_with_whoever_asked_for_it_and_so_does_the_nursery() -> None:
    (line,) = told('print(*(born("stay").pid for _ in range(2)), flush=True)\nos._exit(0)')
    left = [psutil.Process(int(pid)) for pid in line.split() if psutil.pid_exists(int(pid))]
    left += [parent for child in left if (parent := child.parent()) is not None and parent.name() == "nursery"]
    assert psutil.wait_procs(left, timeout=60)[1] == []


def test_without_its_nursery_nothing_is_born_and_a_child_of_it_counts_as_failed() -> None:
    program = """
child = born("stay")
os.kill(int(open(f"/proc/{child.pid}/stat").read().split()[3]), signal.SIGKILL)
found.wait_lost()
print(child.wait())
try:
    born("end", "0")
except NurseryLost as error:
    print(error)
"""
    assert told(program) == ["1", "the process that jobs are started from has ended"]
