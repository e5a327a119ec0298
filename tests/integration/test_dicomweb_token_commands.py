"""`wardround node dicomweb token`: made once, listed without it, revoked, and on the record under somebody's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from wardround.cli.node import app
from wardround.foundation.audit import operator
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.node.audit import Audit
from wardround.node.dicomweb.tokens import Scope, caller
from wardround.node.home import NodeHome
from wardround.node.receive.route import StudyPath

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    (tmp_path / "node.toml").write_text(NODE)
    opened = NodeHome(tmp_path)
    yield opened
    opened.close()


def typed(home: NodeHome, *words: str) -> Result:
    return CliRunner().invoke(app, ["dicomweb", "token", *words, "--home", str(home.path)], env={"COLUMNS": "200"})


def test_a_token_is_shown_once_and_opens_what_it_is_for(home: NodeHome) -> None:
    made = typed(home, "make", "ct-gate", "--scope", "store", "--path", "clinic")
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    who = caller(home.database, f"Bearer {token}")
    assert who is not None and (who.name, who.scope, who.path) == ("ct-gate", Scope.STORE, StudyPath.CLINIC)
    listed = typed(home, "list")
    assert "ct-gate" in listed.output and "clinic" in listed.output
    assert token not in listed.output
    assert not any(token.encode() in file.read_bytes() for file in home.path.glob("node.db*"))


def test_a_revoked_token_opens_nothing_and_both_acts_are_on_the_record(home: NodeHome) -> None:
    token = typed(home, "make", "viewer", "--scope", "read").stdout.strip()
    assert typed(home, "revoke", "viewer").exit_code == 0
    assert caller(home.database, f"Bearer {token}") is None
    with home.database.reading() as session:
        acts = session.execute(select(Audit.actor, Audit.verb, Audit.subject).order_by(Audit.id)).all()
    assert [tuple(act) for act in acts] == [
        (operator(), "make-token", "viewer"),
        (operator(), "revoke-token", "viewer"),
    ]
    assert isinstance(typed(home, "revoke", "viewer").exception, NotFound)
    assert isinstance(typed(home, "make", "viewer", "--scope", "read").exception, Conflict)


def test_a_token_needs_a_scope_and_a_plain_name(home: NodeHome) -> None:
    assert typed(home, "make", "viewer").exit_code == 2
    assert isinstance(typed(home, "make", "../Ward", "--scope", "read").exception, NotAllowed)
    assert "No tokens yet" in typed(home, "list").output
