"""What the hub answers to sites about their membership."""

from __future__ import annotations

from functools import partial

from wardround.contracts.outbound import CertificateIssued, CertificateRenewal, Joined, JoinRequest
from wardround.foundation.certificates import pem
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.record.membership import announce
from wardround.hub.sites import actions
from wardround.ledger.log import Log


def register(exchange: Exchange, log: Log) -> None:
    exchange.register(JoinRequest)(partial(_join, log))
    exchange.register(CertificateRenewal)(_renew)


def _join(log: Log, caller: Caller, message: JoinRequest, _attachment: bytes) -> Joined:
    home = caller.home
    with caller.database.writing() as session:
        site, certificate = actions.join(session, home, message, now=caller.now())
        name = site.name
        announce(session, log, name, message.ledger_verifier, at=caller.now())
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
