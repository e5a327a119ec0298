"""The federation's ledger is founded once with its faults; a site that is shut out leaves it, on the record."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.ledger_entry import Departure, Entry, Founding, Member
from wardround.foundation.clock import now
from wardround.foundation.errors import Conflict
from wardround.foundation.settings import write_toml
from wardround.hub.app import build
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.record.membership import found_once, part_revoked
from wardround.hub.settings import HubSettings
from wardround.hub.sites import actions
from wardround.hub.sites.tables import Site
from wardround.ledger import store
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Verifier


def hub_of(folder: Path, faults: int = 0) -> HubHome:
    return make_hub_home(folder / "hub", HubSettings(federation="testing", host="hub.example", faults=faults))


def log_of(home: HubHome) -> Log:
    return Log(home.ledger_origin, home.ledger_key)


def ledger(home: HubHome) -> list[Entry]:
    with home.database.reading() as session:
        found = [store.entry(session, index) for index in range(store.size(session))]
    return [entry for entry in found if entry is not None]


def join(home: HubHome, *names: str) -> None:
    log = log_of(home)
    with home.database.writing() as session:
        for name in names:
            session.add(Site(name=name, state="member", invited_at=now()))
            key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
            log.record(
                session,
                Member(
                    origin="hub",
                    at=now(),
                    site=name,
                    entry_key=b64encode(key).decode(),
                    witness=str(Verifier(name, SignatureType.COSIGNATURE, key)),
                ),
            )


def revoke(home: HubHome, name: str, *, left: bool = False) -> object:
    with home.database.writing() as session:
        return actions.revoke(session, log_of(home), name, "a test", actor="operator:test", now=now(), left=left)


@pytest.mark.parametrize("faults", [0, 2])
def test_a_hub_founds_its_ledger_when_it_is_made_and_not_again_when_it_serves(tmp_path: Path, faults: int) -> None:
    home = hub_of(tmp_path, faults)
    build(home)
    [founding] = ledger(home)
    assert isinstance(founding, Founding)
    assert founding.faults == faults
    home.close()


def test_the_number_of_faults_is_fixed_at_the_founding(tmp_path: Path) -> None:
    home = hub_of(tmp_path, 1)
    home.close()
    settings = home.settings.model_copy(update={"faults": 0})
    (home.path / "hub.toml").write_text(write_toml(settings.model_dump(mode="json", exclude_none=True)))
    with pytest.raises(Conflict, match=r"founded with 1.*set faults = 1"):
        build(HubHome(home.path))


def test_a_making_that_was_cut_off_before_the_founding_is_made_up_for_when_the_hub_serves(tmp_path: Path) -> None:
    home = hub_of(tmp_path, 1)
    with home.database.writing() as session:
        store.lock(session)
        store.truncate(session, 0)
    build(home)
    [founding] = ledger(home)
    assert isinstance(founding, Founding) and founding.faults == 1
    home.close()


def test_a_ledger_from_before_there_was_a_founding_has_no_faults(tmp_path: Path) -> None:
    home = hub_of(tmp_path)
    log = log_of(home)
    with home.database.writing() as session:
        store.lock(session)
        store.truncate(session, 0)
    join(home, "north")
    with home.database.writing() as session:
        found_once(session, log, faults=0, at=now())
    with pytest.raises(Conflict), home.database.writing() as session:
        found_once(session, log, faults=1, at=now())
    home.close()


def test_a_site_that_is_shut_out_leaves_the_ledger_in_the_same_step(tmp_path: Path) -> None:
    home = hub_of(tmp_path)
    join(home, "north", "south", "west")
    parted = revoke(home, "west")
    assert (parted.left, parted.due, parted.due_before, parted.stands_still) == (2, 2, 2, False)  # type: ignore[attr-defined]
    gone = ledger(home)[-1]
    assert isinstance(gone, Departure) and (gone.site, gone.reason) == ("west", "revoked")
    assert revoke(home, "south", left=True).stands_still  # type: ignore[attr-defined] # one of two can't do it alone
    gone = ledger(home)[-1]
    assert isinstance(gone, Departure) and (gone.site, gone.reason) == ("south", "left")
    home.close()


def test_a_site_that_never_joined_leaves_no_ledger(tmp_path: Path) -> None:
    home = hub_of(tmp_path)
    with home.database.writing() as session:
        actions.invite(session, home, "south", actor="operator:test", now=now() - timedelta(hours=1))
    assert revoke(home, "south") is None
    assert len(ledger(home)) == 1
    home.close()


def test_sites_that_were_revoked_before_departures_were_recorded_leave_once(tmp_path: Path) -> None:
    home = hub_of(tmp_path)
    join(home, "north", "south")
    with home.database.writing() as session:
        session.get_one(Site, "south").state = "revoked"
    for _ in range(2):
        with home.database.writing() as session:
            part_revoked(session, log_of(home), now())
    assert [entry.kind for entry in ledger(home)] == ["founding", "member", "member", "departure"]
    home.close()
