"""What the hub answers to sites about their membership."""

from __future__ import annotations

from wardround.contracts.outbound import CertificateIssued, CertificateRenewal, Joined, JoinRequest
from wardround.foundation.certificates import pem
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.sites import actions


def register(exchange: Exchange) -> None:
    exchange.register(JoinRequest)(_join)
    exchange.register(CertificateRenewal)(_renew)


def _join(caller: Caller, message: JoinRequest, _attachment: bytes) -> Joined:
    home = caller.home
    with caller.database.writing() as session:
        site, certificate = actions.join(session, home, message, now=caller.now())
        name = site.name
    return Joined(
        site=name,
        federation=home.federation,
        certificate=certificate,
        root=pem(home.root.certificate),
        api_host=home.settings.host,
        api_port=home.settings.api_port,
        ledger_verifier=str(home.ledger_signer.verifier),
    )


def _renew(caller: Caller, message: CertificateRenewal, _attachment: bytes) -> CertificateIssued:
    with caller.database.writing() as session:
        certificate = actions.renew(session, caller.home, caller.site, message, now=caller.now())
    return CertificateIssued(certificate=certificate)
