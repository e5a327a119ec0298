"""A stand-in for a hospital's PACS: it keeps what it is sent, and sends a hospital's studies to its node.

Run as `python -m wardround.demo.pacs --root DIR --host 127.0.0.1 --port 0 --ae PACS --port-file FILE`. It answers
C-STORE and C-ECHO, writes each object to DIR/incoming/<SOP Instance UID>.dcm before it answers, and ends on
SIGTERM. With `--apart TITLE` it answers to a second title, and what that is sent lies in DIR/apart. It prints nothing;
once it listens, FILE holds its port.
"""

import argparse
import re
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from wardround.demo.patients import StudyInstances
from wardround.dicom.network import (
    Accepted,
    Peer,
    Received,
    RefusedObject,
    RefusedStorage,
    StorageReceiver,
    send,
    write_part10,
)
from wardround.foundation.files import write_whole

INCOMING = "incoming"
APART = "apart"
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to. refused: what the receiver did not take, with its reason."""

    studies: int
    instances: int
    refused: tuple[RefusedObject, ...]


def push(
    studies: Iterable[StudyInstances],
    to: Peer,
    calling_ae: str = "PACS",
    progress: Callable[[int, int], None] | None = None,
) -> Pushed:
    """Sends studies by C-STORE, each with one association: its slices first, then its segmentation.

    progress: called after each study with how many studies and how many instances the receiver has taken so far.
    Raises what `dicom.network.send` raises where the receiver can't be reached or refuses to talk.
    """
    done, taken = 0, 0
    refused: list[RefusedObject] = []
    for study in studies:
        report = send([*study.slices, study.segmentation], to, calling_ae)
        done += 1
        taken += len(report.accepted)
        refused += report.refused
        if progress:
            progress(done, taken)
    return Pushed(done, taken, tuple(refused))


def serve(
    root: Path, *, host: str, port: int, ae_title: str, port_file: Path, stop: threading.Event, apart: str = ""
) -> None:
    """Receives into root/incoming until `stop` is set, and into root/apart what is sent to the title `apart`.

    Raises OSError where the address is taken.
    """
    folders = {ae_title: root / INCOMING} | ({apart: root / APART} if apart else {})
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)

    def keep(received: Received) -> Accepted | RefusedStorage:
        if not _UID.fullmatch(received.sop_instance_uid) or len(received.sop_instance_uid) > 64:
            return RefusedStorage()
        write_whole(folders[received.called_ae] / f"{received.sop_instance_uid}.dcm", write_part10(received))
        return Accepted()

    with StorageReceiver(list(folders), keep, host=host, port=port) as receiver:
        write_whole(port_file, f"{receiver.port}\n".encode())
        stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m wardround.demo.pacs", description="A stand-in for a PACS.")
    parser.add_argument("--root", type=Path, required=True, help="folder for what is received")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--ae", default="PACS", help="AE title that it answers to")
    parser.add_argument("--apart", default="", help="a second title, of those who examine models")
    parser.add_argument("--port-file", type=Path, required=True, help="where to write the port once it listens")
    options = parser.parse_args(arguments)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    serve(
        options.root,
        host=options.host,
        port=options.port,
        ae_title=options.ae,
        port_file=options.port_file,
        stop=stop,
        apart=options.apart,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
