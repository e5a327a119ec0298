"""How this program's HTTP servers are set up."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI


def server_config(app: FastAPI, context: ssl.SSLContext | None, **more: Any) -> uvicorn.Config:
    """A server that speaks TLS with `context`, or plainly; that says nothing of itself and logs no request.

    Args:
        more: settings of `uvicorn.Config` beside these.
    """

    def given(_config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert context is not None  # noqa: S101 - asked for only with a context
        return context

    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=None if context is None else given,
        **more,
    )
