"""Code that isn't ours: what it can see and do in a jail, and how it ends there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from tests.jails import need_jail

from wardround.compute import jail
from wardround.compute.jail import Bounds, JailEnded, JailUnavailable, run_jailed

need_jail()

MANY = Bounds(memory_bytes=300 * 1024**2, seconds=60, scratch_bytes=1024**2, output_bytes=1024**2, output_files=20)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def python(program: str, output: Path, bounds: Bounds = MANY, **inputs: Path) -> None:
    run_jailed([sys.executable, "-I", "-c", program], inputs=inputs, output=output, bounds=bounds, python=True)


def ended(program: str, output: Path, bounds: Bounds = MANY) -> str:
    with pytest.raises(JailEnded) as raised:
        python(program, output, bounds)
    return raised.value.code


def test_a_folder_goes_in_and_a_folder_comes_out(tmp_path: Path, output: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "image").write_bytes(b"abc")
    (given / "image").chmod(0o600)
    python("open('result', 'wb').write(open('/in/study/image', 'rb').read()[::-1])", output, study=given)
    assert (output / "result").read_bytes() == b"cba"
    assert (output / "result").stat().st_uid == os.getuid()


def test_it_sees_nothing_of_this_machine_but_what_it_was_given(tmp_path: Path, output: Path) -> None:
    secret = tmp_path / "vault"
    secret.write_text("who is who")
    python(
        f"""
import json, os, sys
print(json.dumps([
    [place for place in ({str(secret)!r}, '/etc/passwd', '/etc/shadow', '/var', '/sys') if os.path.exists(place)],
    os.listdir(os.path.dirname(sys.prefix)),
    [name for name in os.listdir('/proc') if name.isdigit()],
    sorted(os.environ),
]), file=open('seen', 'w'))
""",
        output,
    )
    places, beside, processes, environment = json.loads((output / "seen").read_text())
    assert places == []
    assert set(beside) <= {Path(sys.prefix).name, "src", "lib", "python3"}
    assert len(processes) <= 2
    threads = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    assert set(environment) - {"PWD"} == {"PATH", "HOME", "LANG", "USER", "PYTHONDONTWRITEBYTECODE", *threads}


def test_it_reaches_no_network(output: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        program = f"import socket; socket.create_connection(('127.0.0.1', {listening.getsockname()[1]}), 5)"
        assert ended(program, output) == "failed"
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_what_it_was_given_stays_as_it_was(tmp_path: Path, output: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "image").write_bytes(b"abc")
    with pytest.raises(JailEnded):
        python("open('/in/study/image', 'wb').write(b'x')", output, study=given)
    with pytest.raises(JailEnded):
        python("open('/in/study/more', 'wb').write(b'x')", output, study=given)
    assert [(one.name, one.read_bytes()) for one in given.iterdir()] == [("image", b"abc")]


@pytest.mark.parametrize(
    ("program", "bounds", "code"),
    [
        ("while True: pass", Bounds(seconds=1), "out-of-time"),
        (
            "import os, time\n[os.fork() for _ in range(3)]\nheld = b'x' * 60 * 2**20\ntime.sleep(600)",
            Bounds(memory_bytes=300 * 1024**2, seconds=300),
            "out-of-memory",
        ),
        ("held = bytearray(2**30)", MANY, "failed"),
        ("open('big', 'wb').write(bytes(2**21))", MANY, "failed"),
        ("[open(f'big{n}', 'wb').write(bytes(2**19)) for n in range(4)]", MANY, "too-much-output"),
        ("[open(f'{n}', 'wb').close() for n in range(30)]", MANY, "too-much-output"),
        ("open('/tmp/big', 'wb').write(bytes(2**22))", MANY, "failed"),
        (
            "import os, time\nfor _ in range(40):\n    if not os.fork(): time.sleep(600)\ntime.sleep(600)",
            Bounds(processes=20),
            "too-many-processes or failed",
        ),
        ("raise SystemExit(3)", MANY, "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", MANY, "failed"),
    ],
)
def test_what_takes_too_much_is_ended_and_the_cause_is_told(
    program: str, bounds: Bounds, code: str, output: Path
) -> None:
    assert ended(program, output, bounds) in code.split(" or ")  # root isn't bound by RLIMIT_NPROC
    assert [one for one in psutil.Process().children(recursive=True) if one.name() == "bwrap"] == []


def test_it_ends_when_it_is_told_to(output: Path) -> None:
    stop = threading.Event()
    program = "import time; open('begun', 'w').close(); time.sleep(600)"

    def begun() -> bool:
        if (output / "begun").exists():
            stop.set()
        return stop.is_set()

    with pytest.raises(JailEnded) as raised:
        run_jailed(
            [sys.executable, "-I", "-c", program], inputs={}, output=output, bounds=MANY, python=True, stop=begun
        )
    assert raised.value.code == "stopped"


def test_it_dies_with_the_program_that_began_it(tmp_path: Path, output: Path) -> None:
    beginning = f"""
from pathlib import Path
from wardround.compute.jail import Bounds, run_jailed
run_jailed(["sh", "-c", "echo > begun; sleep 600"], inputs={{}}, output=Path({str(output)!r}), bounds=Bounds())
"""
    parent = subprocess.Popen([sys.executable, "-c", beginning])
    while not (output / "begun").exists():
        assert parent.poll() is None
    within = psutil.Process(parent.pid).children(recursive=True)
    assert within
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(within, timeout=20)
    assert alive == []


def test_without_a_jail_nothing_runs(monkeypatch: pytest.MonkeyPatch, output: Path) -> None:
    jail._unavailable.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        with pytest.raises(JailUnavailable, match="apt-get install bubblewrap"):
            python("open('begun', 'w').close()", output)
    finally:
        jail._unavailable.cache_clear()
    assert list(output.iterdir()) == []


def test_what_a_program_says_stays_one_line_of_this_nodes_log(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(JailEnded) as raised:
        python("raise SystemExit('first\\n2026-01-01 forged line \\x1b[31m')", output)
    assert "forged" not in str(raised.value)
    [record] = caplog.records
    assert "forged" in record.getMessage()
    assert "\n" not in record.getMessage() and "\x1b" not in record.getMessage()
