"""`people`, `sign-in` and `sign-out` as they are typed, and that no command writes for who isn't signed in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from wardround.cli.main import build
from wardround.cli.signin import acting, roster_at
from wardround.foundation.audit import operator
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.audit import Audit as HubAudit
from wardround.node.audit import Audit
from wardround.node.home import NodeHome
from wardround.people import accounts, totp
from wardround.people.accounts import CodeRefused
from wardround.people.grants import scoped
from wardround.people.rights import RIGHTS, MayNot
from wardround.people.roles import Role
from wardround.people.sessions import NotSignedIn, person_of
from wardround.people.sign_in import SignInRefused, sign_in

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
HUB = 'federation = "trial"\nhost = "127.0.0.1"\n'
GOOD = "fjord gnome quilt"

WRITES = {
    "node": [
        "deid review approve 1 --reason seen",
        "deid review redact 1 --reason seen",
        "deid review refuse 1 --reason seen",
        "deid review show 1 --out {file}.png",
        "enclave prepare",
        "enclave purge --study 1.2 --reason asked --yes",
        "enclave purge --resume",
        "enclave verify --remove-orphans",
        "ledger distrust because",
        "ledger trust because",
        "node approve glioma --digest 0",
        "node deploy 0123456789abcdef",
        "node dicomweb token make viewer --scope read",
        "node dicomweb token revoke viewer",
        "node erase --patient-id 1 --reason asked",
        "node import {file}",
        "node join wardround1-x",
        "node optout add local,1",
        "node optout load {file}",
        "node optout remove local,1",
        "node people add bob --role engineer",
        "node people grant bob engineer",
        "node people remove bob",
        "node people reset bob --reason lost",
        "node people revoke bob engineer",
        "node people sign-out bob",
        "node people unlock bob",
        "node policy set {file}",
        "node pull --accession 1",
        "node pull --cancel 1",
        "node refuse glioma --digest 0 --reason not-lawful-here",
        "node relink WR-1 --reason asked",
        "node withdraw glioma --reason asked",
    ],
    "hub": [
        "hub invite north",
        "hub people add bob --role researcher",
        "hub revoke north --reason asked",
        "project count glioma",
        "project submit glioma",
        "run start glioma",
    ],
}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WARDROUND_SESSION", raising=False)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[dict[str, Path]]:
    found = {"node": tmp_path / "node", "hub": tmp_path / "hub"}
    for program, text in (("node", NODE), ("hub", HUB)):
        found[program].mkdir()
        (found[program] / f"{program}.toml").write_text(text)
    yield found


def typed(home: Path, line: str, *lines: str) -> Result:
    words = line.split()
    given = "".join(f"{each}\n" for each in lines)
    return CliRunner().invoke(build(words), [*words, "--home", str(home)], input=given, env={"COLUMNS": "200"})


def person(home: Path, name: str, *roles: Role) -> str:
    """Somebody who is enrolled; gives the secret of their telephone."""
    with roster_at(home) as roster:
        code, _ = accounts.add(roster, name, "", [scoped(roster, role) for role in roles], actor="os:test")
        secret = accounts.offer_codes(roster, name, code, source="test").secret
        try:
            accounts.enrol(roster, name, code, GOOD, _code_before(secret), source="test")
        except CodeRefused:  # half a minute ended between making the code and its check
            accounts.enrol(roster, name, code, GOOD, _code_before(secret), source="test")
    return secret


def _code_before(secret: str) -> str:
    """The code of the half minute before, which leaves the one of this for signing in."""
    return totp.code_of(secret, totp.step_at(now()) - 1)


def code_now(secret: str) -> str:
    return totp.code_of(secret, totp.step_at(now()))


def audited(home: Path) -> list[tuple[str, str, str]]:
    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = session.execute(select(Audit.actor, Audit.verb, Audit.subject).order_by(Audit.id)).all()
    opened.close()
    return [(actor, verb, subject) for actor, verb, subject in rows]


def test_from_the_first_account_to_an_act_in_a_persons_name(homes: dict[str, Path]) -> None:
    home = homes["node"]
    made = typed(home, "node people add anna --role operator")
    assert made.exit_code == 0, made.output
    code = made.stdout.strip()
    program = [sys.executable, "-m", "wardround", "node", "people", "enrol", "anna", "--home", str(home)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as enrolling:
        assert enrolling.stdin is not None and enrolling.stdout is not None
        enrolling.stdin.write(f"{code}\n{GOOD}\n")
        enrolling.stdin.flush()
        secret = ""
        while not secret:
            line = enrolling.stdout.readline()
            assert line, "the secret isn't shown"
            secret = line.strip() if re.fullmatch(r"  [A-Z2-7]{32}\n", line) else ""
        enrolling.stdin.write(totp.code_of(secret, totp.step_at(now()) - 1) + "\n")
        enrolling.stdin.close()
        rest = enrolling.stdout.read()
    assert enrolling.returncode == 0 and len(re.findall(r"(?:[A-Z2-9]{5}-){4}[A-Z2-9]{5}", rest)) == 8
    refused = typed(home, "node people unlock anna")
    assert isinstance(refused.exception, NotSignedIn) and "wardround node sign-in NAME" in str(refused.exception)
    signed = typed(home, "node sign-in anna", GOOD, code_now(secret))
    assert signed.exit_code == 0, signed.output
    [file] = (file for file in Path(os.environ["XDG_STATE_HOME"]).rglob("*") if file.is_file())
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text() not in signed.output
    assert typed(home, "node people add bob --role data-controller").exit_code == 0
    told = typed(home, "node people list").output
    assert "data-controller at north" in told and "to enrol" in told
    assert ("person:anna", "add-person", "bob") in audited(home)
    assert isinstance(typed(home, "node people grant anna engineer").exception, NotAllowed)
    assert isinstance(typed(home, "node optout add local,1").exception, MayNot)
    token = file.read_text()
    assert typed(home, "node sign-out").exit_code == 0 and not file.exists()
    with roster_at(home) as roster, pytest.raises(NotSignedIn):
        person_of(roster, token)


@pytest.mark.parametrize(("program", "line"), [(program, line) for program, lines in WRITES.items() for line in lines])
def test_nobody_writes_without_a_session_once_there_is_an_account(
    homes: dict[str, Path], tmp_path: Path, program: str, line: str
) -> None:
    home = homes[program]
    with roster_at(home) as roster:
        accounts.add(roster, "anna", "", [scoped(roster, Role.OPERATOR)], actor="os:test")
    (tmp_path / "file").write_text("local,1\n")
    ended = typed(home, line.format(file=tmp_path / "file"))
    assert isinstance(ended.exception, NotSignedIn), (ended.exception, ended.output)
    with roster_at(home) as roster, roster.database.reading() as session:
        table = Audit if program == "node" else HubAudit
        tried = session.scalars(select(table).where(table.verb == "refused")).all()
    assert [(row.actor, row.subject in RIGHTS, row.detail.split()[0]) for row in tried] == [
        (operator(), True, "not-signed-in")
    ]


def test_a_session_of_the_environment_goes_first_and_is_bound_to_its_program(
    homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = person(homes["node"], "anna", Role.OPERATOR)
    person(homes["hub"], "anna", Role.OPERATOR)
    with roster_at(homes["node"]) as roster:
        token = sign_in(roster, "anna", GOOD, code_now(secret), source="test").token
    monkeypatch.setenv("WARDROUND_SESSION", token)
    assert acting(homes["node"], "add-person") == "person:anna"
    with pytest.raises(NotSignedIn):
        acting(homes["hub"], "invite-site", site="north")


def test_a_session_file_that_others_may_read_isnt_used(homes: dict[str, Path]) -> None:
    secret = person(homes["node"], "anna", Role.OPERATOR)
    assert typed(homes["node"], "node sign-in anna", GOOD, code_now(secret)).exit_code == 0
    [file] = (file for file in Path(os.environ["XDG_STATE_HOME"]).rglob("*") if file.is_file())
    assert acting(homes["node"], "add-person") == "person:anna"
    file.chmod(0o640)
    with pytest.raises(NotAllowed, match="others may read it"):
        acting(homes["node"], "add-person")


def test_a_wrong_sign_in_leaves_no_session(homes: dict[str, Path]) -> None:
    secret = person(homes["node"], "anna", Role.OPERATOR)
    ended = typed(homes["node"], "node sign-in anna", "wrong gnome quilt", code_now(secret))
    assert isinstance(ended.exception, SignInRefused)
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("node-*"))


def test_who_owns_the_home_acts_while_there_is_no_account(
    homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert acting(homes["node"], "approve-project", "glioma").startswith("os:")
    monkeypatch.setattr(os, "geteuid", lambda: homes["node"].stat().st_uid + 1)
    with pytest.raises(NotAllowed, match="which owns"):
        acting(homes["node"], "approve-project", "glioma")


def test_the_glass_is_broken_by_the_owner_with_a_reason(homes: dict[str, Path]) -> None:
    home = homes["node"]
    person(home, "anna", Role.OPERATOR)
    assert isinstance(typed(home, "node people reset anna --reason lost").exception, NotSignedIn)
    done = typed(home, "node people reset anna --reason lost --break-glass")
    assert done.exit_code == 0 and len(done.stdout.strip()) == 43
    assert any(actor.startswith("os:") and verb == "reset-person" for actor, verb, _ in audited(home))


def test_a_change_of_password_as_it_is_typed(homes: dict[str, Path]) -> None:
    secret = person(homes["node"], "anna", Role.OPERATOR)
    assert typed(homes["node"], "node sign-in anna", GOOD, code_now(secret)).exit_code == 0
    changed = typed(homes["node"], "node people password", GOOD, "plums and pie at noon")
    assert changed.exit_code == 0, changed.output
    assert acting(homes["node"], "add-person") == "person:anna"


def test_a_home_of_the_other_program_is_told(homes: dict[str, Path], tmp_path: Path) -> None:
    assert "isn't a hub's home" in typed(homes["node"], "hub people list").output
    with pytest.raises(NotFound):
        acting(homes["hub"], "approve-project", "glioma")
    with pytest.raises(NotFound):
        acting(tmp_path, "add-person")


def test_settings_of_people_are_closed(homes: dict[str, Path]) -> None:
    (homes["node"] / "node.toml").write_text(NODE + "[people]\nfailures = 3\nsession_hour = 1\n")
    ended = typed(homes["node"], "node people list")
    assert "unknown key 'people.session_hour'" in str(ended.exception)
