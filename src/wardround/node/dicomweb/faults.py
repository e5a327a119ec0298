"""How a web application of this node tells a client that its call failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from wardround.foundation.errors import WardroundError
from wardround.node.dicomweb.failure import WebFailure, warning

_OURS = "a fault of this node; its log says where"


def answer_faults(
    app: FastAPI, log: logging.Logger, called: str, statuses: Mapping[type[WardroundError], int] | None = None
) -> None:
    """Have `app` answer every failure with a status and one short line, and log what is this node's own.

    Args:
        called: the line's name in the JSON object that its clients read.
        statuses: of errors for people, whose text the client is told; without them they are this node's own failures.
    """

    def told(status: int, text: str) -> Response:
        headers = {"WWW-Authenticate": 'Bearer realm="wardround"'} if status == 401 else {}
        return JSONResponse({called: text}, status, headers=headers)

    @app.exception_handler(WebFailure)
    def failed(_request: Request, failure: WebFailure) -> Response:
        answer = told(failure.status, failure.text)
        if failure.warned:
            answer.headers["Warning"] = warning(failure.text)
        return answer

    @app.exception_handler(HTTPException)
    def http(_request: Request, failure: HTTPException) -> Response:
        return told(failure.status_code, "no such resource" if failure.status_code == 404 else "not possible here")

    @app.exception_handler(DBAPIError)
    def busy(_request: Request, failure: DBAPIError) -> Response:
        log.error("a call was not answered: %s", type(failure).__name__)
        return told(503, "the node can't answer now; try again later")

    @app.exception_handler(ClientDisconnect)
    def gone(_request: Request, _failure: ClientDisconnect) -> Response:
        return told(400, "the message ended too early")

    @app.exception_handler(Exception)
    def broken(_request: Request, failure: Exception) -> Response:
        log.error("a call failed", exc_info=failure)
        return told(500, _OURS)

    if statuses is None:
        return

    @app.exception_handler(WardroundError)
    def refused(_request: Request, failure: WardroundError) -> Response:
        for kind, status in statuses.items():
            if isinstance(failure, kind):
                return told(status, str(failure))
        log.error("a call was refused: %s", type(failure).__name__)
        return told(500, _OURS)
