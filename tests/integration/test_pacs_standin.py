"""The stand-in PACS as its own process: what is sent to it is on disk, and it goes quietly when told to."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from wardround.demo.pacs import INCOMING, push
from wardround.demo.patients import to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.network import Peer, PeerUnreachable, echo


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Peer, Path]]:
    root, port_file = tmp_path / "pacs", tmp_path / "port"
    process = subprocess.Popen(
        [sys.executable, "-m", "wardround.demo.pacs", "--root", root, "--ae", "NORTHPACS", "--port-file", port_file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while not port_file.exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline, "the PACS did not say where it listens"
            time.sleep(0.02)
        yield process, Peer("127.0.0.1", int(port_file.read_text()), "NORTHPACS"), root
    finally:
        process.kill()
        process.communicate()


def test_a_pushed_study_is_kept_byte_for_byte_and_the_process_ends_quietly_when_told(
    pacs: tuple[subprocess.Popen[bytes], Peer, Path],
) -> None:
    process, peer, root = pacs
    hospital = hospitals(2, patients=1, slices=4, matrix=32)[0]
    studies = [to_dicom(hospital.patient(key)) for key in hospital.keys]
    seen: list[tuple[int, int]] = []

    pushed = push(iter(studies), peer, "NORTHGATE", lambda *done: seen.append(done))

    assert (pushed.studies, pushed.instances, pushed.refused) == (2, 10, ())
    assert seen == [(1, 5), (2, 10)]
    sent = {}
    for part10 in [part10 for study in studies for part10 in (*study.slices, study.segmentation)]:
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(part10))
        sent[str(dataset.SOPInstanceUID)] = dataset
    kept = {path.stem: pydicom.dcmread(path) for path in (root / INCOMING).iterdir()}
    assert kept == sent

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, b"")
    with pytest.raises(PeerUnreachable):
        echo(peer, "NORTHGATE")
