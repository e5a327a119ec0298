"""The one door. What isn't on the closed list doesn't leave; what leaves is logged first.

Nothing else at a node opens a connection to the hub, but for the engine's, which goes through `relay`.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from hashlib import sha256

from pydantic import ValidationError

from wardround.contracts.limits import LIMITS
from wardround.contracts.outbound import OUTBOUND, EngineTraffic, Message, Reply
from wardround.foundation.certificates import BACKDATED, CertificateRefused, certificate_in
from wardround.foundation.clock import Clock, now
from wardround.node.gateway.channel import Answer, Channel
from wardround.node.gateway.egress import EgressLog
from wardround.node.gateway.errors import HubRefused, HubUnreachable, HubUntrusted, MayLeaveLater, MayNotLeave
from wardround.node.home import NodeHome
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.kinds import ESSENTIAL
from wardround.node.policy.leaving import LeavingForbidden, check_leaving
from wardround.node.policy.rates import Rates

LOG = logging.getLogger(__name__)
PATIENCE = 120.0
UNREADABLE = (
    "this node's certificate, its key or the hub's root can't be read; put the folder identity back from a backup, or "
    "ask the operator for a token and join anew with this home"
)
CARRIED_BY_ENGINE = frozenset({"run-update", "masking-message", "engine-traffic"})


class Gateway:
    """Sends messages to the hub over mutual TLS. One per process is enough; threads may share it.

    A certificate that was renewed, by whichever process, is used from the next call on. While its file can't be read,
    what was read before goes on being used.
    """

    def __init__(self, home: NodeHome, *, clock: Clock = now) -> None:
        self._home = home
        self._clock = clock
        self._log = EgressLog(home.database, clock)
        self._rates = Rates(home.database)
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._channel_of: tuple[int, int] | None = None
        self._retired: list[Channel] = []
        self._closed = False
        self.skew = timedelta(0)
        """How far the hub's clock was ahead of ours at the last answer."""

    def send(self, message: Message, attachment: bytes = b"", *, patience: float = PATIENCE) -> tuple[Reply, bytes]:
        """Send `message` and give the hub's reply (of type `message.reply`) with what was beside it.

        Args:
            patience: seconds of silence after which the hub counts as unreachable.

        Raises:
            MayNotLeave: the message isn't on the closed list, is larger than its kind may be, or the policy holds it
                back (`MayLeaveLater`: for now).
            HubUnreachable: the hub doesn't answer; trying again may work.
            HubRefused: the hub said no; `code` says why.
            HubUntrusted: not our hub, or a certificate isn't valid.
        """
        header = checked(message, len(attachment), self._home.settings.largest_attachment)
        if message_kind(message) in CARRIED_BY_ENGINE:
            raise MayNotLeave(f"a message of kind {message_kind(message)} is carried by the engine, never posted")
        try:
            return self._attempt(message, header, attachment, patience)
        except HubRefused as refused:
            if refused.code != "certificate-replaced":
                raise
            self._retire()
            return self._attempt(message, header, attachment, patience)

    def record(self, message: Message, size: int, *, answer_bytes: int | None = None) -> None:
        """Log a message of `size` bytes that another carrier takes to the hub; call it before it goes.

        Args:
            size: all bytes that the carrier takes for it.
            answer_bytes: how many came back, where that is known.

        Raises:
            MayNotLeave: as for `send`.
        """
        header = checked(message, size, self._home.settings.largest_attachment)
        digest = None if isinstance(message, EngineTraffic) else sha256(header).hexdigest()
        with self._rates.lock:
            forbidden = self._forbidden(message, size)
            if forbidden is None or isinstance(message, EngineTraffic):
                # What the relay tells of has gone already: it is counted, whatever is said of more.
                self._log.begin(message, size, digest, outcome="carried", answer_bytes=answer_bytes)
            else:
                self._log.refuse(message, size, forbidden.code)
        if forbidden is not None:
            raise forbidden

    def room(self, kind: str) -> int | None:
        """How many bytes of `kind` the policy lets leave now; None: no bound.

        For a carrier that counts what it carried afterwards, so that it can stop in time.
        """
        try:
            leaving = self._home.policy.current().leaving
        except PolicyUnusable:
            return 0
        return self._rates.room(leaving, kind, self._clock()) if kind in leaving.kinds else 0

    def _forbidden(self, message: Message, size: int) -> MayNotLeave | None:
        """Why this hospital's policy holds `message` back, or None where it doesn't."""
        kind = message_kind(message)
        if kind in ESSENTIAL:
            return None
        try:
            policy = self._home.policy.current()
            check_leaving(policy, kind, size)
            self._rates.check(policy.leaving, kind, size, self._clock())
        except (PolicyUnusable, LeavingForbidden) as forbidden:
            later = forbidden.code in {PolicyUnusable.code, MayLeaveLater.code}
            return (MayLeaveLater if later else MayNotLeave)(str(forbidden), code=forbidden.code)
        return None

    def close(self) -> None:
        """Close all connections, for good; calls that are under way or come later find the hub unreachable."""
        self._closed = True
        self._retire()
        for channel in self._retired:
            channel.close()

    def _attempt(self, message: Message, header: bytes, attachment: bytes, patience: float) -> tuple[Reply, bytes]:
        size = len(header) + len(attachment) + 4
        with self._rates.lock:
            forbidden = self._forbidden(message, size)
            if forbidden is not None:
                self._log.refuse(message, size, forbidden.code)
                raise forbidden
            number = self._log.begin(message, size, body_digest(header, attachment))
        try:
            answer = self._ready().post(header, attachment, type(message), patience=patience)
        except (HubUntrusted, HubUnreachable, HubRefused) as error:
            outcome = outcome_of(error)
            self._log.end(number, outcome, reason=error.code)
            if outcome in {"unreachable", "untrusted"}:
                self._rates.forget(number)
            if error.code in {"no-answer", "certificate-refused"}:
                self._explain_expiry()
            raise
        self._log.end(number, "sent", answer_bytes=answer.size)
        self._note_skew(answer)
        return answer.reply, answer.attachment

    def _ready(self) -> Channel:
        home = self._home
        if self._closed:
            raise HubUnreachable("this node is stopping; nothing more is sent")
        try:
            stat = home.certificate.stat()
        except OSError as error:
            raise HubUntrusted(
                "this node has no certificate; ask the operator for a token and join", code="no-certificate"
            ) from error
        with self._lock:
            if self._channel is None or self._channel_of != (stat.st_ino, stat.st_mtime_ns):
                self._channel = self._opened(self._channel)
                self._channel_of = (stat.st_ino, stat.st_mtime_ns)
            return self._channel

    def _opened(self, before: Channel | None) -> Channel:
        """A channel with what lies in the home's identity now; `before` where that can't be read."""
        home = self._home
        try:
            channel = Channel(
                home.settings.hub.host,
                home.settings.hub.api_port,
                root=home.root_certificate.read_text(),
                identity=(home.certificate, home.key),
            )
        except (OSError, ValueError) as error:
            if before is None:
                raise HubUntrusted(UNREADABLE, code="certificate-unreadable") from error
            LOG.error("%s. Until the node stops it goes on with what it read before", UNREADABLE)
            return before
        if before is not None:
            self._retired.append(before)
        return channel

    def _explain_expiry(self) -> None:
        """A hub that is shown an expired certificate hangs up without a word: say what it was."""
        try:
            until = certificate_in(self._home.certificate).not_valid_after_utc
        except CertificateRefused:
            return
        ours = self._clock()
        if ours >= until:
            raise HubUntrusted(
                f"this node's certificate ended at {until:%Y-%m-%d %H:%M:%S}Z and its clock says "
                f"{ours:%Y-%m-%d %H:%M:%S}Z; set the clock if it is wrong, else ask the operator for a token and "
                "join anew with this home",
                code="certificate-expired",
            )

    def _retire(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._retired.append(self._channel)
            self._channel = self._channel_of = None

    def _note_skew(self, answer: Answer) -> None:
        if answer.hub_time is None:
            return
        ours = self._clock()
        skew = answer.hub_time - ours
        if abs(skew) > BACKDATED and abs(self.skew) <= BACKDATED:
            LOG.error(
                "this machine's clock says %s and the hub's %s; set the clock (NTP), or certificates will fail",
                f"{ours:%Y-%m-%d %H:%M:%S}Z",
                f"{answer.hub_time:%Y-%m-%d %H:%M:%S}Z",
            )
        self.skew = skew


def message_kind(message: Message) -> str:
    """The message's word in the closed list.

    Raises:
        MayNotLeave: it has none.
    """
    kind = getattr(message, "kind", None)
    if type(message) not in LIMITS or not isinstance(kind, str):
        raise MayNotLeave(f"a {type(message).__name__} isn't on the list of what may leave this node")
    return kind


def checked(message: Message, attachment_size: int, largest_attachment: int) -> bytes:
    """The message's JSON, once it is known to be of the closed list, whole and within its limits.

    Raises:
        MayNotLeave: it isn't.
    """
    kind = message_kind(message)
    limit = LIMITS[type(message)]
    header = message.model_dump_json().encode()
    # Validated again from its bytes: a model built without validation must not slip through.
    try:
        valid = OUTBOUND.validate_json(header) == message
    except ValidationError:
        valid = False
    if not valid:
        raise MayNotLeave(f"the message of kind {kind} isn't what its contract says")
    if len(header) > limit.header:
        raise MayNotLeave(f"the message of kind {kind} has {len(header)} bytes; at most {limit.header} may leave")
    allowed = min(limit.attachment, largest_attachment)
    if attachment_size > allowed:
        raise MayNotLeave(f"{attachment_size} bytes beside a message of kind {kind}; at most {allowed} may leave")
    return header


def outcome_of(error: HubUntrusted | HubUnreachable | HubRefused) -> str:
    """The log's word for a call that failed: only where no connection came about is it sure that nothing left."""
    if isinstance(error, HubRefused) or error.code in {"certificate-refused", "hub-failed"}:
        return "refused"
    if isinstance(error, HubUntrusted):
        return "untrusted"
    return "unreachable" if error.code == "hub-unreachable" else "unanswered"


def body_digest(header: bytes, attachment: bytes) -> str:
    """SHA-256 of the body as it goes over the wire."""
    digest = sha256(len(header).to_bytes(4, "big") + header)
    digest.update(attachment)
    return digest.hexdigest()
