"""Proofs as pages give them and check them without scripts; what a browser checks itself is in tests/browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.pages_lab import HubLab, form_of, words_of
from typer.testing import CliRunner

from wardround.cli.ledger import app


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("hub") / "home")
    made.settle("east", "north", "south")
    yield made
    made.close()


@pytest.fixture
def browser(lab: HubLab) -> httpx.Client:
    return lab.face.browser("operator")


def checked(browser: httpx.Client, proof: str, keys: str) -> str:
    """As a browser sends a form: lines end in CR LF."""
    sent = {"form": form_of(browser.get("/account"))} | {
        name: text.replace("\n", "\r\n") for name, text in (("proof", proof), ("keys", keys))
    }
    answer = browser.post("/ledger/check", data=sent)
    assert answer.status_code == 200, answer.text
    return words_of(answer)


def test_the_file_of_a_page_is_the_one_of_the_command_and_the_page_judges_it(
    lab: HubLab, browser: httpx.Client, tmp_path: Path
) -> None:
    file = browser.get("/ledger/2/proof")
    assert file.headers["content-type"].startswith("text/plain")
    out, home = tmp_path / "entry.tlog-proof", str(lab.home.path)
    assert CliRunner().invoke(app, ["prove", "2", "--out", str(out), "--home", home]).exit_code == 0
    assert file.text == out.read_text()
    keys = CliRunner().invoke(app, ["keys", "--home", home]).stdout
    told = checked(browser, file.text, keys)
    assert "Proven, by what this program checked" in told and "Entry 2 of wardround/trial, member by hub" in told
    assert "east, north cosigned; 2 have to" in told
    offered = browser.get("/ledger/check?entry=2").text
    assert file.text.splitlines()[1] in offered and keys.splitlines()[1] in offered.replace("&#43;", "+")


def test_what_does_not_hold_is_said_with_the_reason(lab: HubLab, browser: httpx.Client) -> None:
    keys = CliRunner().invoke(app, ["keys", "--home", str(lab.home.path)]).stdout
    proof = browser.get("/ledger/2/proof").text
    for changed, known, says in (
        (proof.replace("index 2", "index 1"), keys, "leads to another root"),
        (proof.replace("index 2", "index two"), keys, "the third line names the index"),
        (proof, "", "the keys need the hub's line"),
        (proof, keys + "faults 1\n", "have to"),
        ("nothing", keys, "a proof begins with"),
    ):
        told = checked(browser, changed, known)
        assert "Not proven" in told and "Proven, by" not in told and says in told, (says, told)
    for where in ("/ledger/99/proof", "/ledger/none/proof", "/ledger/check?entry=99"):
        assert browser.get(where).status_code == 404
