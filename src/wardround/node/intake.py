"""The front door: receives for both paths, sees when a study is complete, and de-identifies what is for research."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from wardround.dicom.network import Receiver, TlsRefused
from wardround.dicom.network_query import studies_at
from wardround.foundation.clock import Clock
from wardround.foundation.settings import SettingsRefused
from wardround.node.deidentify.department import Department
from wardround.node.enclave.room import RoomWatch
from wardround.node.home import NodeHome
from wardround.node.receive.arrival import Entry, KeyMaker
from wardround.node.receive.clerk import House
from wardround.node.receive.commitment import CommitmentDesk
from wardround.node.receive.commitment_holdings import Holdings
from wardround.node.receive.commitment_store import FOLDER, CommitmentStore
from wardround.node.receive.completion import complete_studies, next_due
from wardround.node.receive.receivers import Receivers
from wardround.node.receive.reception import Reception
from wardround.node.receive.route import Route, Routes, StudyPath, by_called_title
from wardround.node.receive.route_file import FILE, read_routes
from wardround.node.receive.stated import StatedCounts
from wardround.node.receive.terms import Terms, WireTerms
from wardround.node.retrieve.wiring import pacs_at
from wardround.node.wire import requestors, wire_terms

log = logging.getLogger(__name__)

MOST_RECEIVERS = 4
LOOKED_AT_EVERY = 2.0
"""Seconds after which each thread looks for work that nobody in this process told it of: what a person decided about
an image, or what a command brought in."""

PEER_ENDS = 5.0
"""Seconds that stopping waits for a peer that takes a report, which is sent again after the next start, or is asked."""
TAKEN_OVER_EVERY = 60.0
"""Seconds between two looks for what processes left that ended only after this node started."""
ASKED_EVERY = 0.5
PACS_ANSWERS = 20.0
"""Seconds that the PACS has to say how many instances a study has."""


class Intake:
    """Threads: the receiver's, one that completes studies, one that de-identifies as instances arrive, one that takes
    over what processes left behind, and one that sends answers about storage commitment where the node gives them.

    Raises:
        SettingsRefused: the TLS files under `[wire]` can't be used, or the rules of routing.
    """

    def __init__(self, home: NodeHome, clock: Clock) -> None:
        settings = home.settings.dicom
        self._home = home
        self._clock = clock
        self._quiet = timedelta(seconds=settings.quiet_seconds)
        self._room = RoomWatch(home.database, home.enclave / "objects", home.settings.enclave, clock=clock)
        self._enclave_full: str | None = None
        self._department = Department(home, clock=clock)
        self._deidentification = self._department.deidentification()
        self._stopping = threading.Event()
        self._counts: StatedCounts | None = None
        self._asking = _Watch("stated counts", self._ask_counts, lambda: ASKED_EVERY)
        self.reception = Reception(
            home.database,
            quarantine=home.quarantine,
            clinical=home.clinical,
            secret=self._department.secret,
            routes=routes_of(home),
            durable=settings.durable,
            reserve_bytes=settings.reserve_mb * 1_000_000,
            patience=settings.patience_seconds,
            clock=clock,
            arrived=self.arrived,
            closed=self._closed,
            noted=self._note if _asks_count(home) else None,
        )
        self._reporting = _Watch("storage commitment", self._report, lambda: LOOKED_AT_EVERY)
        self._counts = self._stated_counts()
        self._commitments = self._commitment_desk() if settings.commit else None
        self._receivers: Receivers | None = None
        count, wire = settings.receivers or receivers_here(), wire_terms(home.settings)
        try:
            self._receiver: Receiver
            if count > 1:
                self._receiver = self._receivers = self._processes(count, wire)
            else:
                self._receiver = wire.receiver(self.reception, commitments=self._commitments)
        except TlsRefused as refused:
            raise SettingsRefused(f"[wire]: {refused.text}") from None
        self._completing = _Watch("completion", self._complete, self._until_complete)
        self._deidentifying = _Watch("de-identification", self._deidentify, lambda: LOOKED_AT_EVERY)
        self._inheriting = _Watch("take-over", self._inherit, lambda: TAKEN_OVER_EVERY)

    def start(self) -> None:
        """Tidy up after a crash, then listen. Raises `OSError` if the port is taken."""
        self.reception.recover()
        self._department.mend()
        self._deidentification.start()
        self._look_at_room()
        if self._commitments is not None:
            self._commitments.mend()
            self._reporting.start()
        if self._receivers is None:
            self.reception.prepare()
        self._receiver.start()
        self._deidentifying.start()
        self._completing.start()
        self._inheriting.start()
        if self._counts is not None:
            self._asking.start()

    def arrived(self, entries: Sequence[Entry]) -> None:
        """The index has learnt of these: look now. Quick, and called from any thread."""
        self.reception.learn(entries)
        if self._receivers is not None:
            self._receivers.learn(entries)
        self._deidentifying.wake()
        self._completing.wake()

    def settle(self, timeout: float) -> bool:
        """Wait until the index has all that has landed; False if that took longer than `timeout` seconds."""
        settled = self._receivers is None or self._receivers.settle(timeout)
        return self.reception.settle(timeout) and settled

    def stop(self) -> None:
        self._receiver.stop()
        self.reception.close()
        self._stopping.set()
        self._reporting.stop(patience=PEER_ENDS)
        self._asking.stop(patience=PEER_ENDS)
        self._completing.stop()
        self._inheriting.stop()
        self._deidentifying.stop()
        self._deidentification.stop()
        self._department.close()

    def _commitment_desk(self) -> CommitmentDesk:
        home, keys = self._home, KeyMaker(self._department.secret)
        roots = {StudyPath.RESEARCH: home.quarantine, StudyPath.CLINIC: home.clinical}
        store = CommitmentStore(home.database, home.quarantine / FOLDER, home.identity / "commitments.key")
        return CommitmentDesk(
            store,
            Holdings(home.database, keys, roots),
            settle=self.settle,
            requestors=requestors(home.settings),
            clock=self._clock,
            wake=self._reporting.wake,
        )

    def _processes(self, count: int, wire: WireTerms) -> Receivers:
        settings = self._home.settings.dicom
        terms = Terms(
            wire,
            self._home.quarantine,
            self._department.secret,
            routes_of(self._home),
            durable=settings.durable,
            reserve_bytes=settings.reserve_mb * 1_000_000,
            patience=settings.patience_seconds,
            commits=self._commitments is not None,
            notes=self._counts is not None,
        )
        house = House(
            self.reception.index,
            self.arrived,
            self.reception.quay.count,
            self.reception.take_over,
            self._note,
            self._commitments,
        )
        return Receivers(count, terms, house)

    def _stated_counts(self) -> StatedCounts | None:
        """Asks the PACS that studies are pulled from, or that results go to, where a setting has it asked."""
        pacs = pacs_at(self._home, self.reception) if _asks_count(self._home) else None
        if pacs is None:
            return None

        def ask(study_uid: str) -> int | None:
            until = time.monotonic() + PACS_ANSWERS

            def stop() -> bool:
                return self._stopping.is_set() or time.monotonic() > until

            found = studies_at(
                pacs.peer,
                pacs.calling_ae,
                study_uid=study_uid,
                root=pacs.root,
                tls=pacs.tls,
                cancelled=stop,
            )
            return found[0].instances if len(found) == 1 else None

        return StatedCounts(
            self._home.database, ask, quiet=self._quiet, clock=self._clock, learnt=self._wake_completing
        )

    def _note(self, study_key: str, study_uid: str) -> None:
        if self._counts is not None:
            self._counts.note(study_key, study_uid)

    def _wake_completing(self) -> None:
        self._completing.wake()

    def _ask_counts(self) -> None:
        if self._counts is not None:
            self._counts.tick(stopping=self._stopping.is_set)

    def _report(self) -> None:
        if self._commitments is not None:
            self._commitments.tick(stopping=self._stopping.is_set)

    def _closed(self, path: StudyPath) -> str | None:
        """Why nothing is taken for a path: the enclave is full, and it is the path that leads there."""
        return self._enclave_full if path is StudyPath.RESEARCH else None

    def _look_at_room(self) -> None:
        """Objects come many a second, so each sees what was last found here, and none waits for the database."""
        alarm = self._room.refusal()
        self._enclave_full = None if alarm is None else alarm.code
        if self._receivers is not None:
            self._receivers.close_paths({} if alarm is None else {StudyPath.RESEARCH: alarm.code})

    def _complete(self) -> None:
        self._look_at_room()
        if complete_studies(self._home.database, quiet=self._quiet, now=self._clock()):
            self._deidentification.close_studies()

    def _inherit(self) -> None:
        """A receiver of a killed node may still be in the middle of a flush when the next one starts, and a command
        that imports may be killed beside it: what they had acknowledged isn't left waiting for another restart."""
        if self.reception.take_over().registered:
            self._deidentifying.wake()
            self._completing.wake()

    def _until_complete(self) -> float:
        """Seconds until the next study may be complete."""
        now = self._clock()
        due = next_due(self._home.database, quiet=self._quiet, now=now)
        if due is None:
            return LOOKED_AT_EVERY
        return min(max((due - now).total_seconds(), 0.01), LOOKED_AT_EVERY)

    def _deidentify(self) -> None:
        self._deidentification.tick(stopping=self._stopping.is_set)
        self._deidentification.close_studies()


def routes_of(home: NodeHome) -> Routes:
    """The rules in the home's `routes.toml`; without the file, each of the node's two titles takes its own path.

    Raises:
        SettingsRefused: the file can't be used.
    """
    file = home.path / FILE
    if file.exists():
        return read_routes(file)
    settings = home.settings.dicom
    return by_called_title({settings.ae_title: Route.RESEARCH, settings.clinic_ae_title: Route.CLINIC})


def receivers_here() -> int:
    """How many processes receive where the settings don't say: one for each core, a few at most."""
    return min(os.cpu_count() or 1, MOST_RECEIVERS)


def _asks_count(home: NodeHome) -> bool:
    settings = home.settings
    return any(pacs is not None and pacs.ask_count for pacs in (settings.retrieve.pacs, settings.pacs))


class _Watch:
    """A thread that does `work` when it is woken, and after `pause()` seconds at the latest; however often it is
    woken, it rests for a moment in between."""

    AFTER_FAILURE = 2.0
    REST = 0.2
    """Seconds, in which what comes one by one gathers: a group costs little more than one object."""

    def __init__(self, name: str, work: Callable[[], None], pause: Callable[[], float]) -> None:
        self._work = work
        self._pause = pause
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self, *, patience: float | None = None) -> None:
        """End, and wait for it, for at most `patience` seconds."""
        self._ending.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.clear()
            try:
                self._work()
                pause = self._pause()
            except Exception:
                # Whatever it raised, the thread must not end unseen: nothing would start it again.
                log.exception("a step of the intake failed; it is tried again")
                self._ending.wait(self.AFTER_FAILURE)
                continue
            rest = min(self.REST, pause)
            self._ending.wait(rest)
            self._woken.wait(pause - rest)
