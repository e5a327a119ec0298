"""In FLARE's server process: does what the hub's engine says, and tells it who is connected.

FLARE's own way in is an administrator's console with a certificate of its own. The hub needs none: it owns this
process, and speaks to it over the local port. No administrator exists, so none can be impersonated.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import RunProcessKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey, job_from_meta
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.apis.utils.job_utils import get_event_job_id
from nvflare.fuel.f3.cellnet.core_cell import CellAgent
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode

from wardround.federation.children import HUB_PORT
from wardround.federation.flare.pauses import SCHEDULER
from wardround.federation.port import PortClient, PortClosed
from wardround.federation.provisioning import DEPLOY_SECONDS, JOBS_KEPT, SUBMITTER_ROLE
from wardround.foundation.stored import content as content_of

READY_SECONDS, READY_PAUSE, READY_TRIES = 2.0, 0.5, 20
FIRST_TRIES = 4
"""For the sites that a leg begins with: whoever doesn't answer by then is asked in after a round."""
STILL_THERE = "Client app already started."
"""What FLARE's client says of a process of this job that has just ended, until it has noticed."""
_REGISTRATIONS = (EventType.CLIENT_REGISTER_PROCESSED, EventType.CLIENT_HEARTBEAT_PROCESSED, EventType.CLIENT_QUIT)
_JOB_ENDINGS = (EventType.JOB_COMPLETED, EventType.JOB_ABORTED)


class Dispatcher(FLComponent):  # type: ignore[misc]  # nvflare has no types
    """Submits and aborts jobs for the hub's engine; reports connected sites, lost job processes and ended jobs."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._events: PortClient | None = None
        self._engine: Any = None
        self._told: frozenset[str] | None = None
        self._connected: set[str] = set()
        self._ended: list[str] = []
        self._asking: set[tuple[str, str]] = set()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.SYSTEM_START:
            self._engine = fl_ctx.get_engine()
            self._start()
        elif event_type in _REGISTRATIONS:
            self._tell_sites()
        elif event_type in _JOB_ENDINGS:
            self._job_ended(get_event_job_id(fl_ctx) or "", fl_ctx)

    def _start(self) -> None:
        cell = self._engine.server.cell.core_cell
        cell.set_cell_connected_cb(self._cell_connected)
        cell.set_cell_disconnected_cb(self._cell_disconnected)
        address = Path(os.environ[HUB_PORT])
        self._events = PortClient(address)
        commands = PortClient(address)
        commands.call("server", {"pid": os.getpid()})
        threading.Thread(target=self._obey, args=(commands,), name="dispatcher", daemon=True).start()
        self._tell_sites()

    def _obey(self, commands: PortClient) -> None:
        while True:
            try:
                command, content = commands.receive()
            except PortClosed:
                # Without the hub's program this process serves nobody.
                os._exit(1)
            if command.get("do") == "submit":
                self._submit(command, content_of(content))
            elif command.get("do") == "ask-in":
                asked = (str(command.get("job_id")), str(command.get("site")))
                threading.Thread(target=self._ask_in, args=asked, name="ask-in", daemon=True).start()
            elif command.get("do") == "abort":
                with self._engine.new_context() as fl_ctx:
                    self._engine.job_runner.stop_run(str(command.get("job_id")), fl_ctx)

    def _submit(self, command: dict[str, Any], content: bytes) -> None:
        meta = {
            JobMetaKey.JOB_ID.value: command["job_id"],
            JobMetaKey.JOB_NAME.value: command["job_id"],
            JobMetaKey.JOB_FOLDER_NAME.value: "leg",
            JobMetaKey.RESOURCE_SPEC.value: {},
            JobMetaKey.DEPLOY_MAP.value: {"app": ["server", *command["sites"]]},
            JobMetaKey.MIN_CLIENTS.value: 1,
            JobMetaKey.SUBMITTER_NAME.value: "hub",
            JobMetaKey.SUBMITTER_ORG.value: "wardround",
            JobMetaKey.SUBMITTER_ROLE.value: SUBMITTER_ROLE,
        }
        with self._engine.new_context() as fl_ctx:
            job = job_from_meta(self._engine.job_def_manager.create(meta, content, fl_ctx))
            check = self._engine._make_message_for_check_resource(job, {}, fl_ctx)
        # FLARE leaves whoever doesn't answer at once out of the job.
        asking = [
            threading.Thread(target=self._ready, args=(site, check, FIRST_TRIES), name="ready", daemon=True)
            for site in command["sites"]
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        SCHEDULER.ring()

    def _ask_in(self, job_id: str, site: str) -> None:
        """Have one more site run a job that is under way, by the requests with which FLARE begins a job there.

        FLARE itself takes no site into a running job. A site that refuses, or is gone again, is asked at the next
        round.
        """
        with self._lock:
            if (job_id, site) in self._asking:
                return
            self._asking.add((job_id, site))
        try:
            self._begin_job(job_id, site)
        finally:
            with self._lock:
                self._asking.discard((job_id, site))

    def _begin_job(self, job_id: str, site: str) -> None:
        runner = self._engine.job_runner
        with self._engine.new_context() as fl_ctx:
            job, running = runner.running_jobs.get(job_id), self._engine.run_processes.get(job_id)
            if job is None or running is None:
                return
            check = self._engine._make_message_for_check_resource(job, {}, fl_ctx)
            deploy = runner._make_deploy_message(job, job.get_application("app", fl_ctx), "app", fl_ctx)
            if not self._ready(site, check) or not self._asked(site, deploy, DEPLOY_SECONDS):
                return
            client = self._engine.get_client_from_name(site)
            if client is None:
                return
            # To be told of the job's end like the others, by the token that it has now.
            running[RunProcessKey.PARTICIPANTS][client.token] = client
            for _ in range(READY_TRIES):
                replies = self._engine.start_client_job(job, {site: DispatchInfo("app", {}, "")}, fl_ctx)
                if not any(each.reply is not None and each.reply.body == STILL_THERE for each in replies):
                    return
                time.sleep(READY_PAUSE)

    def _ready(self, site: str, check: Message, tries: int = READY_TRIES) -> bool:
        """Whether the site answers: a client process that was just started is connected before it does."""
        for _ in range(tries):
            with self._lock:
                if site not in self._connected:
                    return False
            if self._asked(site, check, READY_SECONDS):
                return True
            time.sleep(READY_PAUSE)
        return False

    def _asked(self, site: str, message: Message, seconds: float) -> bool:
        """Whether the site answered a request, and didn't refuse."""
        client = self._engine.get_client_from_name(site)
        if client is None:
            return False
        send = self._engine.server.admin_server.send_requests_and_get_reply_dict
        reply = send({client.token: message}, timeout_secs=seconds).get(client.token)
        return reply is not None and reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) == ReturnCode.OK

    def _job_ended(self, job_id: str, fl_ctx: FLContext) -> None:
        """Tell the hub, and forget all but the last jobs: FLARE itself keeps every job and what it wrote for ever."""
        self._tell("job-ended", {"job_id": job_id})
        with self._lock:
            if job_id in self._ended:
                return
            self._ended.append(job_id)
            forgotten = self._ended[:-JOBS_KEPT]
            del self._ended[:-JOBS_KEPT]
        for old in forgotten:
            self._engine.job_def_manager.delete(old, fl_ctx)

    def _cell_connected(self, agent: CellAgent) -> None:
        path = FQCN.split(agent.get_fqcn())
        if len(path) == 1:
            with self._lock:
                self._connected.add(path[0])
            self._tell_sites()
        elif len(path) == 2 and path[0] != FQCN.ROOT_SERVER:
            self._tell("process-there", {"site": path[0], "job_id": path[1]})

    def _cell_disconnected(self, agent: CellAgent) -> None:
        path = FQCN.split(agent.get_fqcn())
        if len(path) == 1:
            with self._lock:
                self._connected.discard(path[0])
            self._tell_sites()
        elif len(path) == 2 and path[0] != FQCN.ROOT_SERVER:
            self._tell("process-gone", {"site": path[0], "job_id": path[1]})

    def _tell_sites(self) -> None:
        """A site is there when it is registered and its connection is up."""
        if self._engine is None:
            return
        registered = {client.name for client in self._engine.get_clients()}
        with self._lock:
            now = frozenset(registered & self._connected)
            if now == self._told:
                return
            self._told = now
        self._tell("sites", {"sites": sorted(now)})

    def _tell(self, operation: str, meta: dict[str, Any]) -> None:
        if self._events is not None:
            self._events.call(operation, meta)
