"""How this program's HTTP servers are set up."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket for a server, bound to that address; 0 for a free port.

    asyncio sends each answer at once (TCP_NODELAY) only where the socket says which protocol it speaks. Without that
    an answer in two writes ends when the peer's delayed ACK comes, 40 ms later.

    Raises:
        OSError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def server_config(app: FastAPI, context: ssl.SSLContext | None, **more: Any) -> uvicorn.Config:
    """A server that speaks TLS with `context`, or plainly; that says nothing of itself and logs no request.

    Args:
        more: settings of `uvicorn.Config` beside these, or in place of their defaults.
    """

    def given(_config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert context is not None  # noqa: S101 - asked for only with a context
        return context

    # An upgrade to a WebSocket is for none but those that ask for it.
    settings: dict[str, Any] = {"ws": "none"} | more
    return uvicorn.Config(
        app,
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=None if context is None else given,
        **settings,
    )
