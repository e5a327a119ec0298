"""In FLARE's client process at a site: tells the node whether the hub is reached, and what was refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.core_cell import CellAgent
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import RequestHeader
from nvflare.private.fed.client import training_cmds

from wardround.federation.children import NODE_PORT
from wardround.federation.port import PortClient, PortClosed
from wardround.federation.provisioning import JOBS_KEPT


class Doorkeeper(FLComponent):  # type: ignore[misc]  # nvflare has no types
    """Reports to the node's program over the local port: connected, disconnected, a job refused and why."""

    def __init__(self) -> None:
        super().__init__()
        self._node: PortClient | None = None
        self._lock = threading.Lock()
        self._ended: list[Path] = []
        _watch_deployment()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.SYSTEM_START:
            self._node = PortClient(Path(os.environ[NODE_PORT]))
            cell = fl_ctx.get_engine().cell.core_cell
            cell.set_cell_connected_cb(self._cell_connected)
            cell.set_cell_disconnected_cb(self._cell_disconnected)
            self._tell("connected", {})
        elif event_type == EventType.JOB_COMPLETED:
            self._forget_old_jobs(fl_ctx)

    def _forget_old_jobs(self, fl_ctx: FLContext) -> None:
        """Keep the folders of the last jobs, for their logs, and remove older ones: FLARE keeps them for ever."""
        job_id = str(fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID) or "")
        folder = Path(fl_ctx.get_engine().args.workspace) / job_id
        with self._lock:
            if not job_id or folder in self._ended:
                return
            self._ended.append(folder)
            forgotten = self._ended[:-JOBS_KEPT]
            del self._ended[:-JOBS_KEPT]
        for old in forgotten:
            shutil.rmtree(old, ignore_errors=True)

    def _cell_connected(self, agent: CellAgent) -> None:
        if agent.get_fqcn() == FQCN.ROOT_SERVER:
            self._tell("connected", {})

    def _cell_disconnected(self, agent: CellAgent) -> None:
        if agent.get_fqcn() == FQCN.ROOT_SERVER:
            self._tell("disconnected", {})

    def _tell(self, operation: str, meta: dict[str, Any]) -> None:
        if self._node is not None:
            with contextlib.suppress(PortClosed):
                self._node.call(operation, meta)


def report_refusal(job_id: str, reason: str) -> None:
    """Tell the node's program that a job was refused here. ``reason`` is a short code of ours."""
    with contextlib.suppress(PortClosed):
        node = PortClient(Path(os.environ[NODE_PORT]))
        node.call("refused", {"job_id": job_id, "reason": reason})
        node.close()


def _watch_deployment() -> None:
    """See every answer that this site gives to the deployment of a job. FLARE has no event for a refusal."""
    made_by_flare = training_cmds.DeployProcessor.process

    def process(processor: Any, request: Message, app_ctx: Any) -> Message:
        reply = made_by_flare(processor, request, app_ctx)
        if reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) != ReturnCode.OK:
            report_refusal(str(request.get_header(RequestHeader.JOB_ID)), _code_of(str(reply.body)))
        return reply

    training_cmds.DeployProcessor.process = process


def _code_of(answer: str) -> str:
    """FLARE's own words, as a code that may go on the record: they can hold paths."""
    if "byoc" in answer.lower():
        return "custom-code"
    if "not authorized" in answer.lower() or "authz" in answer.lower():
        return "not-authorised"
    return "not-deployable"
