"""Serves a hub: the enrolment listener and the members' listener in one process, TLS 1.3 only."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wardround.foundation.certificates import CertificateRefused
from wardround.foundation.errors import WardroundError
from wardround.foundation.listening import bound_socket, server_config
from wardround.foundation.renewed import RenewedContext, no_password
from wardround.hub.api.http import enrolment, membership
from wardround.hub.app import Hub
from wardround.hub.home import HubHome

LOG = logging.getLogger(__name__)
CERTIFICATES_LOOKED_AT_EVERY = 3600.0
LAST_CALLS_GET = 5
IDLE_CONNECTION_LASTS = 75


class PortTaken(WardroundError):
    """A listener's address can't be had."""

    code = "port-taken"


class PeerProtocol(H11Protocol):
    """Puts the certificate that the client proved (DER) into each request's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        self.app_state = {**self.app_state, "peer_certificate": certificate}
        super().connection_made(transport)

    def shutdown(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        super().shutdown()
        if idle:
            # An idle peer answers no farewell; waiting for one would hold up the stop.
            self.transport.abort()


class Listener(uvicorn.Server):
    """One listener among several: signals belong to the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(hub: Hub, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Serve `hub` until `stop` is set; `ready` is called once both ports take connections.

    Raises:
        PortTaken: a port can't be bound.
    """
    home = hub.home
    await asyncio.to_thread(home.issue_own_certificates, hub.clock())
    contexts = {members: _context(home, members=members) for members in (False, True)}
    sockets = {
        False: _bound(home.settings.listen, home.settings.enrol_port, "enrol_port"),
        True: _bound(home.settings.listen, home.settings.api_port, "api_port"),
    }
    apps = {
        False: enrolment(home, hub.exchange, hub.clock),
        True: membership(home, hub.exchange, hub.clock),
    }
    listeners = {
        members: Listener(
            server_config(
                apps[members],
                contexts[members],
                http=PeerProtocol,
                timeout_keep_alive=IDLE_CONNECTION_LASTS,
                timeout_graceful_shutdown=LAST_CALLS_GET,
            )
        )
        for members in (False, True)
    }
    await hub.waits.start()
    for part in hub.background:
        await asyncio.to_thread(part.start)
    serving = [asyncio.create_task(listeners[members].serve([sockets[members]])) for members in (False, True)]
    renewing = asyncio.create_task(_renew_own_certificates(hub))
    stopped = asyncio.create_task(stop.wait())
    try:
        while not all(listener.started for listener in listeners.values()):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(0.01)
        else:
            LOG.info(
                "serving federation %s: enrolment on port %d, members on port %d",
                home.federation,
                home.settings.enrol_port,
                home.settings.api_port,
            )
            ready()
        await asyncio.wait([stopped, *serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        renewing.cancel()
        stopped.cancel()
        for part in reversed(hub.background):
            await asyncio.to_thread(part.stop)
        await hub.waits.stop()
        for listener in listeners.values():
            listener.should_exit = True
        await asyncio.gather(*serving)
        LOG.info("stopped")


def _context(home: HubHome, *, members: bool) -> ssl.SSLContext:
    def made() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(home.server_certificate, home.server_key, password=no_password)
        if members:
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would pass the certificate's dates by.
            context.num_tickets = 0
            context.load_verify_locations(home.root_certificate)
        return context

    return RenewedContext(made, (home.server_certificate, home.server_key, home.root_certificate))


def _bound(host: str, port: int, setting: str) -> socket.socket:
    try:
        return bound_socket(host, port)
    except OSError as error:
        raise PortTaken(
            f"can't listen on {host} port {port} ({error.strerror}); free it, or change {setting} in hub.toml"
        ) from error


async def _renew_own_certificates(hub: Hub) -> None:
    while True:
        await asyncio.sleep(CERTIFICATES_LOOKED_AT_EVERY)
        try:
            await asyncio.to_thread(hub.home.issue_own_certificates, hub.clock())
        except (OSError, CertificateRefused) as error:
            LOG.error("the hub's own certificates weren't renewed (%s); trying again in an hour", type(error).__name__)


def run(hub: Hub, ready: Callable[[], None]) -> None:
    """Serve in this process until SIGTERM or Ctrl-C."""
    import gc
    import signal

    def started() -> None:
        # What was loaded stays: looking through it for cycles again and again takes a fifth of the time in which
        # entries of the ledger are read.
        gc.collect()
        gc.freeze()
        ready()

    async def until_told() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(hub, stop, started)

    asyncio.run(until_told())
    hub.home.close()
