"""Joining: what a token proves, who is let in, and what an outsider learns. Real sockets, real TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from sqlalchemy import select
from tests.federation_lab import HubLab

from wardround.contracts.outbound import CertificateRenewal, JoinRequest, TaskBatch, TaskPoll
from wardround.foundation.certificates import common_name, make_key, pem, read_certificate, read_key
from wardround.foundation.clock import now
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.foundation.token import Token, TokenRefused, new_secret
from wardround.hub.audit import Audit as HubAudit
from wardround.hub.home import SERVER_LASTS
from wardround.hub.sites import queries
from wardround.hub.sites.tables import Invite
from wardround.ledger.note import SignatureType, Signer
from wardround.node.audit import Audit as NodeAudit
from wardround.node.gateway.egress import newest
from wardround.node.gateway.enrolment import request_join
from wardround.node.gateway.errors import ClockSkewed, HubRefused, HubUnreachable, HubUntrusted
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome, NodePaths
from wardround.node.membership.actions import join, renew

POLL = TaskPoll(after=0, wait_seconds=0, version="test")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    lab = HubLab(tmp_path_factory.mktemp("federation"))
    lab.start()
    yield lab
    lab.stop()


def _join(lab: HubLab, token: Token, folder: Path) -> NodeHome:
    return join(token, folder, actor="operator:test")


def _egress(folder: Path) -> list[tuple[str, str]]:
    database = NodePaths(folder).open_database()
    with database.reading() as session:
        rows = [(row.kind, row.outcome) for row in newest(session, 100)]
    database.close()
    return rows


def test_a_joined_node_speaks_to_its_hub(lab: HubLab) -> None:
    home = lab.node("berlin")
    gateway = Gateway(home)
    reply, beside = gateway.send(POLL)
    assert isinstance(reply, TaskBatch)
    assert beside == b""
    gateway.close()
    certificate = read_certificate(home.certificate.read_bytes())
    assert common_name(certificate) == "berlin"
    assert timedelta(hours=23) < certificate.not_valid_after_utc - now() <= timedelta(hours=24)
    with lab.home.database.reading() as session:
        line = next(line for line in queries.sites(session) if line.name == "berlin")
        assert queries.ledger_verifiers(session)["berlin"] == str(home.ledger_signer.verifier)
        verbs = session.scalars(select(HubAudit.verb).where(HubAudit.subject == "berlin").order_by(HubAudit.id))
        assert list(verbs) == ["invite", "join"]
    assert line.state == "member"
    assert line.heard_at is not None
    with home.database.reading() as session:
        assert list(session.scalars(select(NodeAudit.verb))) == ["join", "change-policy"]


def test_keys_stay_where_they_were_made(lab: HubLab) -> None:
    home = lab.node("keys")
    secret = read_key(home.key).private_numbers().d
    raw = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
    for file in lab.home.path.rglob("*"):
        if file.is_file():
            assert raw not in file.read_bytes()
            assert home.key.read_bytes() not in file.read_bytes()
    assert home.key.stat().st_mode & 0o077 == 0
    assert home.ledger_key_file.stat().st_mode & 0o077 == 0
    assert home.path.stat().st_mode & 0o077 == 0


def test_the_hub_keeps_no_secret_of_a_token(lab: HubLab) -> None:
    token = lab.invite("secretive")
    with lab.home.database.reading() as session:
        assert session.get(Invite, token.secret_digest) is not None
    for file in lab.home.path.rglob("hub.db*"):
        assert token.secret.encode() not in file.read_bytes()


def test_the_subject_is_the_invited_name_whatever_the_request_says(lab: HubLab, tmp_path: Path) -> None:
    """The engine takes an unstructuredName of project_admin for the role of one who submits jobs."""
    token = lab.invite("modest")
    key = make_key(tmp_path / "key")
    wanted = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "wardround-admin"),
            x509.NameAttribute(NameOID.UNSTRUCTURED_NAME, "project_admin"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(wanted).sign(key, hashes.SHA256())
    signer = Signer("modest", SignatureType.NOTE, lab.home.ledger_key)
    database = NodePaths(tmp_path / "home").open_database(f"sqlite:///{tmp_path / 'node.db'}")
    database.upgrade()
    joined = request_join(
        token,
        lab.home.root_certificate.read_text(),
        JoinRequest(
            secret=token.secret,
            csr=request.public_bytes(serialization.Encoding.PEM).decode(),
            ledger_verifier=str(signer.verifier),
            version="test",
        ),
        database,
        now,
    )
    database.close()
    subject = read_certificate(joined.certificate).subject
    assert [(part.oid, part.value) for part in subject] == [(NameOID.COMMON_NAME, "modest")]


def test_a_used_token_is_refused(lab: HubLab, tmp_path: Path) -> None:
    token = lab.invite("once")
    _join(lab, token, tmp_path / "first")
    with pytest.raises(HubRefused, match="ask the operator for a new one") as refused:
        _join(lab, token, tmp_path / "second")
    assert refused.value.code == "token-used"


def test_an_expired_token_is_refused_by_the_node_and_by_the_hub(lab: HubLab, tmp_path: Path) -> None:
    token = lab.invite("late")
    with lab.home.database.writing() as session:
        invite = session.get_one(Invite, token.secret_digest)
        invite.expires_at = now() - timedelta(seconds=1)
    with pytest.raises(HubRefused) as refused:
        _join(lab, token, tmp_path / "node")
    assert refused.value.code == "token-expired"
    with pytest.raises(TokenRefused, match="expired at"):
        _join(lab, token.model_copy(update={"expires": now() - timedelta(seconds=1)}), tmp_path / "node")


def test_a_forged_token_is_refused(lab: HubLab, tmp_path: Path) -> None:
    token = lab.invite("forged").model_copy(update={"secret": new_secret()})
    with pytest.raises(HubRefused) as refused:
        _join(lab, token, tmp_path / "node")
    assert refused.value.code == "token-unknown"


def test_a_token_for_another_site_than_the_hub_noted_is_refused(lab: HubLab, tmp_path: Path) -> None:
    token = lab.invite("honest").model_copy(update={"site": "grander"})
    with pytest.raises(HubRefused) as refused:
        _join(lab, token, tmp_path / "node")
    assert refused.value.code == "bad-ledger-key"
    with lab.home.database.reading() as session:
        assert "honest" not in queries.members(session)


def test_a_newer_token_replaces_the_older(lab: HubLab, tmp_path: Path) -> None:
    older, newer = lab.invite("twice"), lab.invite("twice")
    with pytest.raises(HubRefused) as refused:
        _join(lab, older, tmp_path / "node")
    assert refused.value.code == "token-replaced"
    assert _join(lab, newer, tmp_path / "node").site == "twice"


def test_names_of_the_engine_are_no_sites(lab: HubLab) -> None:
    with pytest.raises(NotAllowed, match="the engine uses itself"):
        lab.invite("server")


def test_a_man_in_the_middle_learns_nothing(lab: HubLab, tmp_path: Path) -> None:
    """Another root answers at the address; it would sign anything, and never gets to see the secret."""
    other = HubLab(tmp_path / "other")
    other.start()
    try:
        token = lab.invite("lured")
        lured = token.model_copy(update={"port": other.home.settings.enrol_port})
        with pytest.raises(HubUntrusted, match="another root") as untrusted:
            _join(lab, lured, tmp_path / "node")
        assert untrusted.value.code == "wrong-root"
        assert not (tmp_path / "node").exists()
        # One who copies the true root to pass the first look can't finish the handshake of the second.
        database = NodePaths(tmp_path).open_database()
        database.upgrade()
        request = JoinRequest(secret=token.secret, csr="x", ledger_verifier="x", version="test")
        with pytest.raises(HubUntrusted) as untrusted:
            request_join(lured, lab.home.root_certificate.read_text(), request, database, now)
        assert untrusted.value.code == "wrong-root"
        database.close()
        assert _egress(tmp_path) == [("join-request", "untrusted")]
    finally:
        other.stop()


def test_clocks_too_far_apart_are_named(lab: HubLab, tmp_path: Path) -> None:
    token = lab.invite("skewed")
    moment = now() - timedelta(hours=1)
    with pytest.raises(ClockSkewed) as skewed:
        join(token, tmp_path / "node", actor="operator:test", clock=lambda: moment)
    assert f"{moment:%Y-%m-%d %H:%M:%S}Z" in str(skewed.value)
    assert f"{now():%Y-%m-%d %H:}" in str(skewed.value)
    assert not (tmp_path / "node").exists()
    # Within what certificates are backdated by, it goes well.
    joined = join(token, tmp_path / "node", actor="operator:test", clock=lambda: now() - timedelta(minutes=4))
    assert joined.site == "skewed"


def test_a_skewed_clock_is_noted_while_the_node_works(lab: HubLab, caplog: pytest.LogCaptureFixture) -> None:
    home = lab.node("drifting")
    gateway = Gateway(home, clock=lambda: now() - timedelta(minutes=20))
    gateway.send(POLL)
    gateway.send(POLL)
    gateway.close()
    assert timedelta(minutes=19) < gateway.skew < timedelta(minutes=21)
    assert [record.message.count("set the clock") for record in caplog.records].count(1) == 1


def test_a_hub_that_is_down_costs_nothing_but_another_try(tmp_path: Path) -> None:
    lab = HubLab(tmp_path)
    token = lab.invite("patient")
    with pytest.raises(HubUnreachable, match="is it serving"):
        _join(lab, token, tmp_path / "node")
    lab.start()
    try:
        assert _join(lab, token, tmp_path / "node").site == "patient"
    finally:
        lab.stop()


def test_a_joined_home_isnt_joined_over(lab: HubLab) -> None:
    home = lab.node("settled")
    before = home.certificate.read_bytes()
    with pytest.raises(Conflict, match="wardround node serve"):
        _join(lab, lab.invite("settled"), home.path)
    with pytest.raises(Conflict, match="name another folder"):
        _join(lab, lab.invite("usurper"), home.path)
    assert home.certificate.read_bytes() == before


def test_a_home_whose_certificate_is_damaged_joins_anew_with_its_keys(lab: HubLab) -> None:
    home = lab.node("damaged")
    ledger_key = home.ledger_key_file.read_bytes()
    home.certificate.write_text("damaged")
    again = lab.node("damaged")
    assert common_name(read_certificate(again.certificate.read_bytes())) == "damaged"
    assert again.ledger_key_file.read_bytes() == ledger_key


def test_a_folder_with_other_things_isnt_taken(lab: HubLab, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Conflict, match="isn't empty"):
        _join(lab, lab.invite("careful"), tmp_path)


def test_a_revoked_site_is_refused_at_its_next_call(lab: HubLab, tmp_path: Path) -> None:
    home = lab.node("expelled")
    gateway = Gateway(home)
    gateway.send(POLL)
    unused = lab.invite("expelled")
    lab.revoke("expelled")
    with pytest.raises(HubRefused) as refused:
        gateway.send(POLL)
    assert refused.value.code == "site-revoked"
    with pytest.raises(HubRefused) as refused:
        renew(home, gateway)
    assert refused.value.code == "site-revoked"
    with pytest.raises(HubRefused):
        _join(lab, unused, tmp_path / "again")
    with pytest.raises(NotAllowed, match="new name"):
        lab.invite("expelled")
    gateway.close()


def test_a_renewed_certificate_replaces_the_old_one(lab: HubLab) -> None:
    home = lab.node("lasting")
    old = home.certificate.read_bytes()
    gateway, other_process = Gateway(home), Gateway(home)
    other_process.send(POLL)
    renew(home, gateway)
    assert home.certificate.read_bytes() != old
    gateway.send(POLL)
    # The other process's connection was made with the old certificate: it takes up the new one by itself.
    other_process.send(POLL)
    fresh = home.certificate.read_bytes()
    home.certificate.write_bytes(old)
    with pytest.raises(HubRefused) as refused:
        gateway.send(POLL)
    assert refused.value.code == "certificate-replaced"
    home.certificate.write_bytes(fresh)
    gateway.send(POLL)
    gateway.close()
    other_process.close()


def test_the_hub_shows_its_own_renewed_certificate_at_the_next_connection(lab: HubLab) -> None:
    home = lab.home
    where = ("127.0.0.1", home.settings.enrol_port)
    before = ssl.get_server_certificate(where)
    renewed = home.root.issue_server(read_key(home.server_key).public_key(), "hub", ["127.0.0.1"], now(), SERVER_LASTS)
    home.server_certificate.write_text(pem(renewed))  # by whom and when doesn't matter
    assert read_certificate(ssl.get_server_certificate(where)) == renewed != read_certificate(before)
    with closing(Gateway(lab.node("late"))) as gateway:
        gateway.send(POLL)


def test_a_renewal_whose_answer_was_lost_locks_nobody_out(lab: HubLab) -> None:
    home = lab.node("unlucky")
    old = home.certificate.read_bytes()
    gateway = Gateway(home)
    renew(home, gateway)
    home.certificate.write_bytes(old)
    gateway.send(POLL)
    renew(home, gateway)
    gateway.send(POLL)
    gateway.close()


def test_a_renewal_gives_no_certificate_for_a_weak_or_unproven_key(lab: HubLab) -> None:
    home = lab.node("weak")
    gateway = Gateway(home)
    with pytest.raises(HubRefused) as refused:
        gateway.send(CertificateRenewal(csr="-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"))
    assert refused.value.code == "certificate-refused"
    gateway.close()


def test_a_node_whose_certificate_expired_joins_anew_with_its_keys(tmp_path: Path) -> None:
    lab = HubLab(tmp_path, certificate_hours=2 / 3600)
    lab.start()
    try:
        home = lab.node("weekend")
        ledger_key = home.ledger_key_file.read_bytes()
        until = read_certificate(home.certificate.read_bytes()).not_valid_after_utc
        while now() <= until + timedelta(seconds=1):
            sleep(0.1)
        gateway = Gateway(home)
        with pytest.raises(HubUntrusted, match="join anew") as untrusted:
            gateway.send(POLL)
        assert untrusted.value.code == "certificate-expired"
        gateway.close()
        again = lab.node("weekend")
        assert again.ledger_key_file.read_bytes() == ledger_key
        assert read_certificate(again.certificate.read_bytes()).not_valid_after_utc > until
    finally:
        lab.stop()


def test_a_site_cant_change_its_ledger_key_by_joining_again(lab: HubLab, tmp_path: Path) -> None:
    lab.node("twofaced")
    with pytest.raises(HubRefused) as refused:
        _join(lab, lab.invite("twofaced"), tmp_path / "elsewhere")
    assert refused.value.code == "other-ledger-key"


def test_a_connection_doesnt_outlive_its_certificate(tmp_path: Path) -> None:
    """TLS looks at the dates when a connection is made; the hub looks at every call."""
    ahead = timedelta(0)
    lab = HubLab(tmp_path, clock=lambda: now() + ahead)
    lab.start()
    try:
        gateway = Gateway(lab.node("dormant"))
        gateway.send(POLL)
        ahead = timedelta(hours=25)
        with pytest.raises(HubRefused) as refused:
            gateway.send(POLL)
        assert refused.value.code == "certificate-expired"
        gateway.close()
    finally:
        lab.stop()


def test_a_certificate_of_the_root_for_another_host_isnt_taken_for_the_hub(tmp_path: Path) -> None:
    lab = HubLab(tmp_path)
    key = read_key(lab.home.server_key).public_key()
    elsewhere = lab.home.root.issue_server(key, "hub", ["hub.example"], now(), timedelta(days=90))
    lab.home.server_certificate.write_text(pem(elsewhere))
    lab.start()
    try:
        with pytest.raises(HubUntrusted) as untrusted:
            lab.node("misled")
        assert untrusted.value.code == "wrong-root"
    finally:
        lab.stop()
