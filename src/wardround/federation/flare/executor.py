"""The leg's process at a site: between the hub's leg and the node's training process. It holds no data and no
torch.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from wardround.federation.children import PARTICIPANT_PORT
from wardround.federation.engine import Declined, EngineError, LegEnd, LegState, RoundTask, UpdateRefused
from wardround.federation.flare.line import HubLost, SiteLine
from wardround.federation.messages import MessageInvalid
from wardround.federation.port import PortClosed, folder_of
from wardround.federation.remote import RemoteParticipant
from wardround.federation.spool import Spool, discard

ALIVE_SECONDS = 2.0
_ENDINGS = (EventType.ABOUT_TO_END_RUN, EventType.END_RUN, EventType.ABORT_TASK, EventType.FATAL_SYSTEM_ERROR)


class LegExecutor(Executor):  # type: ignore[misc]  # nvflare has no types
    """Takes rounds from the leg at the hub and gives them to the participant.

    It begins with the run and asks the hub itself, rather than wait for one of FLARE's tasks, whose fetching is
    on a timer. Where the participant listens is the node's own setting, never the job's.
    """

    def __init__(self, leg_id: str) -> None:
        super().__init__()
        self._leg_id = leg_id
        self._stop = threading.Event()
        self._over = threading.Event()
        address = Path(os.environ[PARTICIPANT_PORT])
        self._participant = RemoteParticipant(address)
        self._folder = folder_of(address)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.START_RUN:
            cell = fl_ctx.get_engine().get_cell()
            self._spool = Spool(self._folder, fl_ctx.get_job_id())
            line = SiteLine(cell.core_cell, fl_ctx.get_job_id(), self._stop.is_set, self._spool)
            threading.Thread(target=self._attend, args=(line,), name="leg", daemon=True).start()
            threading.Thread(target=self._live, args=(line,), name="alive", daemon=True).start()
        elif event_type in _ENDINGS and not self._stop.is_set():
            self._stop.set()
            if not self._over.wait(2.0):
                self._abort("the engine ended the job")

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        return make_reply(ReturnCode.TASK_UNKNOWN)

    def _attend(self, line: SiteLine) -> None:
        done = 0
        try:
            while not self._stop.is_set():
                offered = line.pull(done)
                if isinstance(offered, LegEnd):
                    self._end(offered)
                    return
                done = offered.turn
                self._take_part(line, offered)
        except (HubLost, UpdateRefused, MessageInvalid, OSError) as error:
            self.logger.warning(f"leg given up: {type(error).__name__}")
            self._abort("contact with the hub was lost")
        finally:
            self._spool.close()
            self._over.set()

    def _take_part(self, line: SiteLine, task: RoundTask) -> None:
        try:
            update = self._participant.take_part(task)
        except Declined as declined:
            line.decline(task.turn, f"declined: {declined.reason}")
        except PortClosed:
            line.decline(task.turn, "trainer-lost")
        except (EngineError, MessageInvalid):
            line.decline(task.turn, "failed")
        else:
            try:
                line.push(task.turn, update)
            except UpdateRefused as refused:
                self.logger.warning(f"round {task.round}: the hub refused the update: {refused.reason}")
            finally:
                discard(update.update)
        finally:
            discard(task.arrays)

    def _live(self, line: SiteLine) -> None:
        """Show the hub that this site is at work, and hear of it if the leg was given up in the meantime."""
        while not self._over.wait(ALIVE_SECONDS):
            with contextlib.suppress(HubLost, UpdateRefused, MessageInvalid):
                end = line.alive()
                if end is not None and end.state is not LegState.FINISHED:
                    self._end(end)
                    return

    def _end(self, end: LegEnd) -> None:
        with contextlib.suppress(EngineError, Declined):
            if end.state is LegState.FINISHED:
                self._participant.finish(self._leg_id, end.reason)
            else:
                self._participant.abort(self._leg_id, end.reason)

    def _abort(self, reason: str) -> None:
        with contextlib.suppress(EngineError, Declined):
            self._participant.abort(self._leg_id, reason)
