"""The Query/Retrieve SCP of a home, as `[query]` of `node.toml` says."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from wardround.dicom.network import Peer, TlsRefused
from wardround.dicom.network_provider import Caller, QueryProvider
from wardround.foundation.clock import Clock
from wardround.foundation.errors import Conflict
from wardround.foundation.settings import SettingsRefused
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.home import NodeHome
from wardround.node.query.archive import EnclaveArchive
from wardround.node.settings import QuerySettings
from wardround.node.wire import client_tls, tls_of

log = logging.getLogger(__name__)


class QueryServer:
    """Serves the enclave to the application entities that the settings name.

    Raises:
        SettingsRefused: the files of its TLS can't be used, or a destination wants TLS and there are none.
    """

    def __init__(self, home: NodeHome, catalogue: Catalogue, clock: Clock) -> None:
        settings = home.settings.query
        archive = EnclaveArchive(home.database, catalogue, settings.ae_title, clock)
        try:
            self._provider = QueryProvider(
                settings.ae_title,
                archive,
                callers_of(settings),
                host=settings.host,
                port=settings.port,
                tls=tls_of(settings),
            )
        except TlsRefused as refused:
            raise SettingsRefused(f"[query]: {refused.text}") from None

    @property
    def port(self) -> int:
        return self._provider.port

    def start(self) -> None:
        """Listen.

        Raises:
            Conflict: the address is taken.
        """
        try:
            self._provider.start()
        except OSError:
            raise Conflict(
                "the port under [query] can't be listened on; another program has it, or it isn't ours"
            ) from None
        log.info("query and retrieve are served on port %d", self.port)

    def stop(self) -> None:
        self._provider.stop()


def callers_of(settings: QuerySettings) -> Mapping[str, Caller]:
    """Who may ask, by AE title.

    Raises:
        SettingsRefused: one wants TLS, and `[query]` has no files for it, or they can't be used.
    """
    found = {}
    for caller in settings.callers:
        context = None
        if caller.tls:
            context = client_tls(settings, "query")
            if context is None:
                raise SettingsRefused(
                    "[[query.callers]]: tls = true needs tls_certificate, tls_key and tls_trusted under [query]"
                )
        title = caller.ae_title.strip()
        destination = None if caller.host is None or caller.port is None else Peer(caller.host, caller.port, title)
        found[title] = Caller(destination, context)
    return found
