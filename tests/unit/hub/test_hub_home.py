"""A hub's home: made once, opened only when whole, its own certificates renewed in time."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from wardround.foundation.certificates import read_certificate
from wardround.foundation.clock import now
from wardround.foundation.errors import Conflict, NotFound
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.settings import HubSettings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> HubHome:
    folder = tmp_path_factory.mktemp("hub") / "home"
    database = f"sqlite:///{folder}/other.db"
    return make_hub_home(folder, HubSettings(federation="testing", host="hub.example", database=database))


def test_a_home_reads_back_as_it_was_made(home: HubHome) -> None:
    again = HubHome(home.path)
    assert again.settings == home.settings
    assert again.ledger_signer.verifier == home.ledger_signer.verifier
    assert (home.path / "other.db").exists()
    assert home.path.stat().st_mode & 0o077 == 0


def test_a_home_is_made_once(home: HubHome, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="wardround hub serve"):
        make_hub_home(home.path, home.settings)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(Conflict, match="isn't empty"):
        make_hub_home(tmp_path, home.settings)


def test_a_folder_that_is_no_home_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="wardround hub init"):
        HubHome(tmp_path)


def test_its_own_certificate_that_cant_be_read_is_issued_anew(home: HubHome) -> None:
    home.server_certificate.write_text("damaged")
    home.issue_own_certificates(now())
    read_certificate(home.server_certificate.read_bytes()).verify_directly_issued_by(home.root.certificate)


def test_its_own_certificates_are_renewed_at_half_their_life(home: HubHome) -> None:
    before = home.server_certificate.read_bytes()
    home.issue_own_certificates(now() + timedelta(days=1))
    assert home.server_certificate.read_bytes() == before
    home.issue_own_certificates(now() + timedelta(days=50))
    for file, key in ((home.server_certificate, home.server_key), (home.admin_certificate, home.admin_key)):
        renewed = read_certificate(file.read_bytes())
        assert renewed.not_valid_after_utc > now() + timedelta(days=130)
        renewed.verify_directly_issued_by(home.root.certificate)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, key)
