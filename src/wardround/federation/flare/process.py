"""The entry point of every process that runs FLARE's code: ``python -m wardround.federation.flare.process ROLE
...`` for its server and its client; the processes of their jobs are born of the
:mod:`wardround.federation.flare.nursery`.

It adds what FLARE can't be told by settings: the process ends when its parent does, however the parent ended;
TLS 1.3 (RFC 8446) is the least that its connections accept; no deep-learning framework is ever loaded into it.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wardround.federation.children import LIFELINE
from wardround.federation.flare import nursery

HANDSHAKE_SECONDS = 10.0
ROLES = {
    "server": "nvflare.private.fed.app.server.server_train",
    "client": "nvflare.private.fed.app.client.client_train",
    "server-job": "nvflare.private.fed.app.server.runner_process",
    "client-job": "nvflare.private.fed.app.client.worker_process",
}
LOADED = {
    "server-job": ("wardround.federation.flare.controller",),
    "client-job": ("wardround.federation.flare.executor",),
}
"""What the processes of jobs need beside FLARE's main module, loaded before they are born."""


def main() -> None:
    role, arguments, lifeline = sys.argv[1], sys.argv[2:], int(os.environ.pop(LIFELINE))
    keep_out("torch", "tensorflow", "monai")
    require_tls13()
    know_two_drivers()
    take_own_key_as_it_is()
    importlib.import_module("wardround.federation.flare.frames").spare_copies()
    job = f"{role}-job"
    for name in (ROLES[role], ROLES[job], *LOADED[job]):
        importlib.import_module(name)
    found = nursery.split_off(job)
    if isinstance(found, nursery.Birth):
        role, arguments, lifeline = job, list(found.arguments), found.lifeline
    else:
        importlib.import_module("wardround.federation.flare.launchers").Launcher.nursery = found
        # The program that watches over this process starts it anew, with another nursery.
        end_after(found.wait_lost, "nursery")
    follow_parent(lifeline)
    sys.argv = [role, *arguments]
    module = importlib.import_module(ROLES[role])
    importlib.import_module("wardround.federation.flare.pauses").shorten(role)
    monitor = importlib.import_module("nvflare.fuel.f3.mpm").MainProcessMonitor
    parsed = module.parse_arguments()
    folder = parsed.workspace
    if role == job:
        folder = str(Path(folder) / parsed.job_id)
    sys.exit(
        monitor.run(main_func=module.main, run_dir=folder, shutdown_grace_time=0, cleanup_grace_time=3, args=parsed)
    )


def follow_parent(lifeline: int) -> None:
    """End this process when the other end of its lifeline, a pipe that the parent holds, is closed.

    The kernel's own signal for this (PR_SET_PDEATHSIG) follows the thread that started the process, and FLARE
    starts processes from threads that end.
    """
    end_after(lambda: os.read(lifeline, 1), "lifeline")


def end_after(wait: Callable[[], object], name: str) -> None:
    """End this process once `wait`, in a thread of that name, returns."""

    def follow() -> None:
        wait()
        os._exit(1)

    threading.Thread(target=follow, name=name, daemon=True).start()


def keep_out(*packages: str) -> None:
    """Make optional imports of large packages fail at once: this process moves bytes and computes nothing."""
    for package in packages:
        sys.modules[package] = None  # type: ignore[assignment]  # None makes the import system raise


def require_tls13() -> None:
    """Have FLARE's tcp driver accept nothing below TLS 1.3, and shake hands with each peer in that peer's own thread.

    As FLARE has it, the handshake happens where connections are accepted, so that one peer that connects and says
    nothing would keep all others out. Fails if FLARE has no such functions any more.
    """
    utilities: Any = importlib.import_module("nvflare.fuel.f3.drivers.net_utils")
    made_by_flare = utilities.get_ssl_context

    def get_ssl_context(*args: Any, **kwargs: Any) -> Any:
        context = made_by_flare(*args, **kwargs)
        if context is not None:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            if kwargs.get("ssl_server"):
                context.wrap_socket = functools.partial(context.wrap_socket, do_handshake_on_connect=False)
        return context

    utilities.get_ssl_context = get_ssl_context
    driver: Any = importlib.import_module("nvflare.fuel.f3.drivers.tcp_driver")
    driver.get_ssl_context = get_ssl_context
    served_by_flare = driver.TcpStreamServer.finish_request

    def finish_request(server: Any, request: Any, address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(HANDSHAKE_SECONDS)
            try:
                request.do_handshake()
            except OSError as error:
                logging.getLogger(__name__).warning("a TLS handshake failed: %s", type(error).__name__)
                return
            request.settimeout(None)
        served_by_flare(server, request, address)

    driver.TcpStreamServer.finish_request = finish_request


def know_two_drivers() -> None:
    """Have FLARE know the driver by which its processes on this machine speak to each other, and that of TLS, and look
    for no others: it would import web servers and gRPC for a second in every process.
    """
    communicator: Any = importlib.import_module("nvflare.fuel.f3.communicator")
    for module, name in (
        ("wardround.federation.flare.local", "LocalDriver"),
        ("nvflare.fuel.f3.drivers.tcp_driver", "TcpDriver"),
    ):
        communicator.driver_mgr.register(getattr(importlib.import_module(module), name))
    communicator.driver_loaded = True


def take_own_key_as_it_is() -> None:
    """Have FLARE read this program's own private key without looking for flaws in its numbers, which takes 0.1 s of a
    processor, twice in every process. TLS takes the key as it is too. Fails if FLARE has no such function any more.
    """
    manager: Any = importlib.import_module("nvflare.fuel.f3.cellnet.credential_manager").CredentialManager
    read = functools.partial(manager.get_local_key.__globals__["serialization"].load_pem_private_key, password=None)
    manager.get_local_key = lambda own: read(own.local_key, unsafe_skip_rsa_key_validation=True)


if __name__ == "__main__":
    main()
