"""Where pages may listen, and whom a demonstration's pages know."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.people.people_lab import PeopleLab

from wardround.demo.staff import WITHOUT_TELEPHONE, new_password, take_on
from wardround.people.rights import can_may
from wardround.people.roles import ROLES_AT, Program
from wardround.people.sessions import person_of
from wardround.people.sign_in import sign_in
from wardround.ui.settings import PagesSettings


def test_pages_are_off_and_without_a_certificate_on_loopback_alone() -> None:
    assert not PagesSettings().enabled and PagesSettings().host == "127.0.0.1"
    for refused in ({"host": "0.0.0.0"}, {"host": "ward.example"}, {"certificate": "a.crt"}):
        with pytest.raises(ValidationError):
            PagesSettings.model_validate(refused)
    served = PagesSettings.model_validate(
        {"host": "ward.example", "certificate": "a.crt", "key": "a.key", "port": 8443}
    )
    assert served.address(8443) == "https://ward.example:8443/"


def test_a_demonstration_has_somebody_of_each_role_with_a_password_of_its_own(tmp_path: Path) -> None:
    lab, password = PeopleLab(tmp_path, settings=WITHOUT_TELEPHONE), new_password()
    names = take_on(lab.roster, password)
    assert set(names) == set(ROLES_AT[Program.NODE]) and new_password() != password
    person = person_of(lab.roster, sign_in(lab.roster, "data-controller", password, source="browser").token)
    assert can_may(person, "approve-project", "glioma") and not can_may(person, "add-person")
    lab.close()
