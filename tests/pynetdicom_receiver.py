"""A Storage SCP over pynetdicom, which ours is held against."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from wardround.dicom.network import OUT_OF_RESOURCES, Accepted, Received, Sink


class PynetdicomReceiver:
    """A `wardround.dicom.network.Receiver` of another making."""

    def __init__(
        self,
        ae_titles: Collection[str],
        sink: Sink,
        *,
        calling_ae_titles: Collection[str] | None = None,
        associations: int = 64,
    ) -> None:
        self._titles = set(ae_titles)
        self._calling = None if calling_ae_titles is None else set(calling_ae_titles)
        self._sink = sink
        self._entity = AE(sorted(ae_titles)[0])
        self._entity.maximum_pdu_size = 131072
        self._entity.maximum_associations = associations
        for context in AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        self._entity.add_supported_context(Verification)
        self._server: Any = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        handlers = [(evt.EVT_REQUESTED, self._check), (evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda _: 0)]
        self._server = self._entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        self._entity.shutdown()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check(self, event: Any) -> None:
        request = event.assoc.requestor.primitive
        if request.called_ae_title.strip() not in self._titles:
            event.assoc.acse.send_reject(1, 1, 7)
            event.assoc.kill()
        elif self._calling is not None and request.calling_ae_title.strip() not in self._calling:
            event.assoc.acse.send_reject(1, 1, 3)
            event.assoc.kill()

    def _store(self, event: Any) -> int:
        request = event.assoc.requestor.primitive
        received = Received(
            called_ae=request.called_ae_title.strip(),
            calling_ae=request.calling_ae_title.strip(),
            sop_class_uid=str(event.request.AffectedSOPClassUID),
            sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            dataset_bytes=event.encoded_dataset(include_meta=False),
        )
        try:
            answer = self._sink(received)
        except OSError:
            return OUT_OF_RESOURCES
        return 0 if isinstance(answer, Accepted) else answer.status
