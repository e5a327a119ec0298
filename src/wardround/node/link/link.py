"""The node's loop with its hub: renew the certificate, take tasks, hand in what waits in the outbox."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Literal

from wardround.contracts.outbound import TaskBatch, TaskPoll, TaskReport
from wardround.contracts.task import NumberedTask
from wardround.foundation.certificates import CertificateRefused
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Changes
from wardround.foundation.errors import NotAllowed, Unreachable, WardroundError
from wardround.foundation.files import ObjectStore
from wardround.node.gateway.errors import (
    HubFailed,
    HubRefused,
    HubUnreachable,
    HubUntrusted,
    MayLeaveLater,
    MayNotLeave,
)
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.link import outbox, tasks
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.patience import Patience
from wardround.node.membership.actions import renew, renewal_is_due
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.verdict import OutsideHours

LOG = logging.getLogger(__name__)
POLL_SECONDS = 25.0
OUTBOX_LOOKED_AT_EVERY = 0.1
RENEWAL_TRIED_EVERY = timedelta(minutes=1)
TASKS_AT_ONCE = 8
PUT_OFF_FOR = timedelta(minutes=1)
LAST_TASKS_GET = 2.0
OUT_OF_THE_FEDERATION = frozenset({"site-revoked", "not-a-site", "certificate-replaced", "certificate-expired"})
"""Refusals that are about this node, not about what it said: the message waits."""


class Link:
    """Runs in threads of its own from `start` to `stop`. Stopping closes the gateway."""

    def __init__(
        self,
        home: NodeHome,
        gateway: Gateway,
        handlers: TaskHandlers,
        *,
        clock: Clock = now,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._home = home
        self._gateway = gateway
        self._handlers = handlers
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._posted = threading.Event()
        self._room = threading.Semaphore(TASKS_AT_ONCE)
        self._loops: list[threading.Thread] = []
        self._running: set[threading.Thread] = set()
        self._put_off: deque[tuple[datetime, NumberedTask]] = deque()
        self._renewal_tried: datetime | None = None
        self._trouble: str | None = None

    def start(self) -> None:
        """Take up unfinished tasks, then begin to listen to the hub."""
        with self._home.database.reading() as session:
            after = tasks.last_taken(session)
            unfinished = tasks.unfinished(session)
        work = (lambda: self._listen(after, unfinished), self._hand_in)
        for loop, name in zip(work, ("link-tasks", "link-outbox"), strict=True):
            thread = threading.Thread(target=loop, name=name, daemon=True)
            self._loops.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop listening. A task that doesn't end within two seconds is taken up again at the next start."""
        self._stopping.set()
        self._posted.set()
        self._gateway.close()
        for thread in self._loops:
            thread.join()
        for thread in list(self._running):
            thread.join(LAST_TASKS_GET)

    @property
    def alive(self) -> bool:
        """Whether the link does its work: false once one of its loops ended by an error, which is in the log."""
        return all(thread.is_alive() for thread in self._loops)

    def _listen(self, after: int, unfinished: Sequence[NumberedTask]) -> None:
        self._begin(unfinished)
        patience = Patience()
        while not self._stopping.is_set():
            try:
                self._renew_if_due()
                poll = TaskPoll(after=after, wait_seconds=self._poll_seconds, version=version("wardround"))
                reply, _ = self._gateway.send(poll, patience=self._poll_seconds + 15)
            except (HubUnreachable, HubRefused, HubUntrusted) as error:
                self._note(error)
                patience.wait(self._stopping)
                continue
            patience.reset()
            self._note(None)
            self._begin(self._due())
            if isinstance(reply, TaskBatch) and reply.tasks:
                with self._home.database.writing() as session:
                    fresh = tasks.take(session, reply.tasks, now=self._clock())
                after = max(after, *(numbered.number for numbered in reply.tasks))
                self._begin(fresh)

    def _renew_if_due(self) -> None:
        moment = self._clock()
        if self._renewal_tried is not None and moment - self._renewal_tried < RENEWAL_TRIED_EVERY:
            return
        if not renewal_is_due(self._home, moment):
            return
        self._renewal_tried = moment
        try:
            until = renew(self._home, self._gateway, clock=self._clock)
        except (HubRefused, CertificateRefused) as error:
            LOG.error("the certificate wasn't renewed (%s); trying again in a minute", error.code)
            return
        LOG.info("the certificate was renewed, until %s", f"{until:%Y-%m-%d %H:%M}Z")

    def _begin(self, numbered: Sequence[NumberedTask]) -> None:
        for task in numbered:
            while not self._room.acquire(timeout=0.5):
                if self._stopping.is_set():
                    return
            thread = threading.Thread(target=self._work, args=(task,), name=f"task-{task.number}", daemon=True)
            self._running.add(thread)
            thread.start()

    def _due(self) -> Sequence[NumberedTask]:
        """The tasks that were put off long enough; they take up none of the room meanwhile."""
        due = []
        while self._put_off and self._put_off[0][0] <= self._clock():
            due.append(self._put_off.popleft()[1])
        return due

    def _work(self, numbered: NumberedTask) -> None:
        # An error that no handler should have ends the thread (and is logged there); the task has failed all the same.
        outcome: Literal["done", "refused", "failed"] | None = "failed"
        reason: str | None = "internal-error"
        try:
            outcome, reason = self._do(numbered)
        finally:
            if outcome is not None:
                report = TaskReport(number=numbered.number, outcome=outcome, reason=reason)
                with self._home.database.writing() as session:
                    tasks.end(session, self._home, report, now=self._clock())
                self._posted.set()
            self._running.discard(threading.current_thread())
            self._room.release()

    def _do(self, numbered: NumberedTask) -> tuple[Literal["done", "refused", "failed"] | None, str | None]:
        handler = self._handlers.find(numbered.task)
        if handler is None:
            return "refused", "no-handler"
        patience = Patience()
        while not self._stopping.is_set():
            try:
                handler(numbered.task)
            except (Unreachable, HubUntrusted) as error:
                LOG.warning("task %d waits for the hub (%s)", numbered.number, error.code)
                patience.wait(self._stopping)
            except (OutsideHours, PolicyUnusable) as error:
                LOG.info("task %d (%s) is put off: %s", numbered.number, numbered.task.kind, error.code)
                self._put_off.append((self._clock() + PUT_OFF_FOR, numbered))
                return None, None
            except NotAllowed as error:
                LOG.warning("task %d (%s) refused: %s", numbered.number, numbered.task.kind, error.code)
                return "refused", _reason(error)
            except WardroundError as error:
                if self._stopping.is_set():
                    # What the task stood on is being shut down; it is taken up again at the next start.
                    return None, None
                LOG.error("task %d (%s) failed: %s", numbered.number, numbered.task.kind, error.code, exc_info=True)
                return "failed", _reason(error)
            else:
                return "done", None
        return None, None

    def _hand_in(self) -> None:
        patience, changes = Patience(), Changes(self._home.database)
        while not self._stopping.is_set():
            self._posted.clear()
            if not changes.any():
                self._posted.wait(OUTBOX_LOOKED_AT_EVERY)
                continue
            with self._home.database.reading() as session:
                waiting = outbox.waiting(session)
            if not waiting:
                self._posted.wait(OUTBOX_LOOKED_AT_EVERY)
            elif self._hand_in_batch(waiting):
                patience.reset()
            else:
                changes.forget()
                patience.wait(self._stopping)

    def _hand_in_batch(self, waiting: Sequence[outbox.Waiting]) -> bool:
        """Whether the hub answered for all of them; one that it fails at doesn't hold up the others."""
        answered = True
        for item in waiting:
            if self._stopping.is_set():
                return False
            refused: str | None = None
            try:
                self._gateway.send(item.message, self._attachment(item))
            except (HubFailed, MayLeaveLater):
                answered = False
                continue
            except (HubUnreachable, HubUntrusted) as error:
                self._note(error)
                return False
            except (HubRefused, MayNotLeave) as error:
                if error.code in OUT_OF_THE_FEDERATION:
                    self._note(error)
                    return False
                LOG.error("message %d in the outbox was refused: %s", item.id, error.code)
                refused = _reason(error)
            with self._home.database.writing() as session:
                outbox.settle(session, self._home, item, refused=refused, now=self._clock())
        return answered

    def _attachment(self, item: outbox.Waiting) -> bytes:
        return ObjectStore(self._home.outbox).get(item.attachment) if item.attachment is not None else b""

    def _note(self, error: WardroundError | None) -> None:
        """Log a trouble when it begins or changes, and its end, not each try."""
        code = None if error is None else error.code
        if code == self._trouble or self._stopping.is_set():
            return
        self._trouble = code
        if error is None:
            LOG.info("the hub answers")
        else:
            LOG.error("no link to the hub (%s): %s", code, error)


def _reason(error: WardroundError) -> str:
    """The error's code, if it is a word of the closed form; the text of an error never leaves."""
    return error.code if re.fullmatch(r"[a-z][a-z0-9-]{1,60}", error.code) else "failed"
