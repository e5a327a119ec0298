"""The first call of a node that isn't a member yet: nothing is told to anyone who can't show the token's root."""

from __future__ import annotations

import ssl
from datetime import datetime

import httpx

from wardround.contracts.limits import LARGEST_ANSWER
from wardround.contracts.outbound import API, Joined, JoinRequest
from wardround.foundation.certificates import BACKDATED, CertificateRefused, fingerprint, pem, read_certificate
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.token import Token
from wardround.node.gateway.channel import CONNECT_SECONDS, Channel, explained, hub_time, open_client
from wardround.node.gateway.egress import EgressLog
from wardround.node.gateway.errors import ClockSkewed, HubRefused, HubUnreachable, HubUntrusted
from wardround.node.gateway.gateway import body_digest, checked, outcome_of

LARGEST_ROOT = 64 * 1024


def fetch_root(token: Token, clock: Clock) -> str:
    """The hub's root in PEM, proven by the token's fingerprint; the connection itself proves nothing.

    Raises:
        HubUnreachable: nobody answers.
        HubUntrusted: what answers shows another root.
        ClockSkewed: the hub's clock and ours are too far apart for certificates.
    """
    unproven = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproven.minimum_version = ssl.TLSVersion.TLSv1_3
    unproven.check_hostname = False
    unproven.verify_mode = ssl.CERT_NONE
    body = b""
    with open_client(token.host, token.port, unproven) as client:
        try:
            with client.stream("GET", f"/v{API}/root", timeout=httpx.Timeout(CONNECT_SECONDS)) as response:
                for piece in response.iter_raw():
                    body += piece
                    if len(body) > LARGEST_ROOT:
                        break
                told = hub_time(response)
        except httpx.TransportError as error:
            raise explained(error) from error
    try:
        root = read_certificate(body)
    except CertificateRefused:
        root = None
    if root is None or fingerprint(root) != token.root:
        raise HubUntrusted(
            f"what answers at {token.host} port {token.port} isn't the hub that this token names (another root); "
            "nothing was sent; check the address and tell the operator",
            code="wrong-root",
        )
    if told is not None:
        check_clock(clock(), told)
    return pem(root)


def check_clock(ours: datetime, hub: datetime) -> None:
    """Raises `ClockSkewed`, naming both times, when the clocks are more than five minutes apart."""
    if abs(hub - ours) > BACKDATED:
        raise ClockSkewed(
            f"this machine's clock says {ours:%Y-%m-%d %H:%M:%S}Z and the hub's {hub:%Y-%m-%d %H:%M:%S}Z; "
            "set the clock that is wrong (NTP), then try again"
        )


def request_join(token: Token, root: str, request: JoinRequest, database: Database, clock: Clock) -> Joined:
    """Send the request to the hub that `root` proves, logged like everything that leaves.

    Raises:
        HubUnreachable, HubUntrusted, HubRefused: as for `Gateway.send`.
    """
    log = EgressLog(database, clock)
    header = checked(request, 0, LARGEST_ANSWER)
    channel = Channel(token.host, token.port, root=root, identity=None)
    number = log.begin(request, len(header) + 4, body_digest(header, b""))
    try:
        answer = channel.post(header, b"", JoinRequest, patience=60)
    except (HubUntrusted, HubUnreachable, HubRefused) as error:
        log.end(number, outcome_of(error), reason=error.code)
        raise
    finally:
        channel.close()
    log.end(number, "sent", answer_bytes=answer.size)
    if not isinstance(answer.reply, Joined):
        raise HubRefused("the hub's answer can't be read by this version", code="answer-not-understood")
    return answer.reply
