"""In FLARE's client process at a site: tells the node whether the hub is reached, and what was refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.core_cell import CellAgent
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import RequestHeader
from nvflare.private.fed.client import training_cmds

from wardround.federation.children import NODE_PORT
from wardround.federation.port import PortClient, PortClosed


class Doorkeeper(FLComponent):  # type: ignore[misc]  # nvflare has no types
    """Reports to the node's program over the local port: connected, disconnected, a job refused and why."""

    def __init__(self) -> None:
        super().__init__()
        self._node: PortClient | None = None
        _watch_deployment()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.SYSTEM_START:
            self._node = PortClient(Path(os.environ[NODE_PORT]))
            cell = fl_ctx.get_engine().cell.core_cell
            cell.set_cell_connected_cb(self._cell_connected)
            cell.set_cell_disconnected_cb(self._cell_disconnected)
            self._tell("connected", {})

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
