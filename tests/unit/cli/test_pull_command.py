"""`wardround node pull` and the page of pulls ask for the same where they are told the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from wardround.cli.node import app
from wardround.node.home import NodeHome
from wardround.node.retrieve.asks import Ask, asks_in
from wardround.node.retrieve.tables import PullItem
from wardround.node.retrieve.wiring import sealing_at

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(NODE)
    (tmp_path / "identity").mkdir()
    return tmp_path


def test_a_command_asks_for_what_the_same_list_asks_for(home: Path) -> None:
    words = ["--accession", "A1", "--accession", "A2", "--accession", "A1", "--modality", "mr"]
    ordered = CliRunner().invoke(app, ["pull", *words, "--home", str(home)])
    assert ordered.exit_code == 0, ordered.output
    assert "2 asked" in ordered.output
    opened = NodeHome(home)
    with opened.database.reading() as session:
        items = session.scalars(select(PullItem).order_by(PullItem.line)).all()
        asks = [sealing_at(opened).open(item.sealed, item.job_id, item.line) for item in items]
    opened.close()
    assert (
        asks
        == asks_in("A1\nA2\nA1", "the list", modality="mr")
        == [
            Ask(accession="A1", modality="MR"),
            Ask(accession="A2", modality="MR"),
        ]
    )


def test_a_modality_that_is_none_is_refused_whatever_it_goes_with(home: Path) -> None:
    file = home / "asks"
    file.write_text("A1\n")
    for words in (["--accession", "A1"], ["--patient-id", "P1"], ["--accession-file", str(file)]):
        refused = CliRunner().invoke(app, ["pull", *words, "--modality", "M*", "--home", str(home)])
        assert "the modality isn't a defined term" in str(refused.exception)
