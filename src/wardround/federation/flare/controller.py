"""The leg's process at the hub: FLARE's side of :class:`wardround.federation.leg.Leg`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from wardround.federation.children import HUB_PORT
from wardround.federation.engine import EngineError, LegState, LegStatus
from wardround.federation.flare.desk import HubDesk
from wardround.federation.leg import Leg
from wardround.federation.messages import MessageInvalid
from wardround.federation.port import PortClient, PortClosed
from wardround.federation.remote import RemoteCoordinator
from wardround.federation.spool import Spool

SILENCE_SECONDS = 15.0
START_SILENCE_SECONDS = 60.0
FAREWELL_SECONDS = 5.0
OTHER_VERSION = "the leg's process and the hub's program are of different versions: restart the hub"
"""Said where one can't read what the other told: each leg's process is started from what is installed by then."""


class LegController(Controller):  # type: ignore[misc]  # nvflare has no types
    """Runs the rounds of one leg. All that it decides is asked of the hub's program over the local port."""

    def __init__(self, leg_id: str) -> None:
        super().__init__()
        self._leg_id = leg_id

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Nothing to make ready: the leg is built when the workflow runs."""

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        engine = fl_ctx.get_engine()
        address = Path(os.environ[HUB_PORT])
        port = PortClient(address)
        present = tuple(sorted(client.name for client in engine.get_clients()))
        answer, _ = port.call("leg", {"leg_id": self._leg_id, "present": list(present)})
        coordinator = RemoteCoordinator(port)
        try:
            start = coordinator.begin(self._leg_id)
        except MessageInvalid:
            coordinator.ended(LegStatus(self._leg_id, LegState.FAILED, OTHER_VERSION))
            return
        leg = Leg(
            start,
            coordinator,
            present,
            answer["absent"],
            silence=SILENCE_SECONDS,
            start_silence=START_SILENCE_SECONDS,
            spool=Spool(port.folder, fl_ctx.get_job_id()),
        )
        watch = PortClient(address)
        watch.call("watch", {"leg_id": self._leg_id})
        over = threading.Event()
        threading.Thread(target=_obey, args=(watch, leg), daemon=True).start()
        threading.Thread(target=_heed, args=(abort_signal, leg, over), daemon=True).start()
        HubDesk(engine.get_cell().core_cell, leg, fl_ctx.get_job_id())
        try:
            leg.run()
        except EngineError:
            leg.stop(LegState.FAILED, "the hub failed while it handled the round")
        except MessageInvalid:
            leg.stop(LegState.FAILED, OTHER_VERSION)
        finally:
            leg.stop(LegState.FAILED, "the leg's process failed")
            over.set()
        if leg.status().state is LegState.FINISHED:
            leg.wait_told(FAREWELL_SECONDS)
        coordinator.ended(leg.status())
        leg.wait_told(FAREWELL_SECONDS)

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Nothing to undo."""

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """This controller gives no tasks, so there is no result to take."""

    def handle_client_errors(self, rc: str, client_task: ClientTask, fl_ctx: FLContext) -> bool:
        return False


def _obey(watch: PortClient, leg: Leg) -> None:
    """Do what the hub's engine says about this leg while it runs; end it when the hub's program is gone."""
    while True:
        try:
            command, _ = watch.receive()
        except PortClosed:
            leg.stop(LegState.FAILED, "the hub's program ended")
            return
        if command.get("do") == "abort":
            leg.stop(LegState.ABORTED, str(command.get("reason", "")))
        elif command.get("do") == "lose":
            leg.lose(str(command.get("site")), str(command.get("reason", "")))
        elif command.get("do") == "welcome":
            leg.welcome(str(command.get("site")))


def _heed(abort_signal: Signal, leg: Leg, over: threading.Event) -> None:
    """FLARE's abort signal can't be waited for."""
    while not over.wait(0.5):
        if abort_signal.triggered:
            leg.stop(LegState.FAILED, "the engine aborted the job")
            return
