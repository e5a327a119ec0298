"""The page of models in use: whether each is ready to read, and what is told where its package was damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.pages_lab import NodeLab

from wardround.node.clinic.tables import Deployment


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    node = NodeLab(tmp_path_factory.mktemp("node"))
    node.seed()
    yield node
    node.close()


def package(node: NodeLab) -> Path:
    [folder] = (node.home.path / "models").iterdir()
    return folder / "configs" / "metadata.json"


def test_a_model_is_shown_as_not_ready_until_it_is(node: NodeLab) -> None:
    browser = node.face.browser("safety-officer")
    assert "not yet; its studies wait for that" in browser.get("/models").text
    with node.home.database.writing() as session:
        session.scalars(select(Deployment)).one().ready_at = node.clock()
    shown = browser.get("/models").text
    assert "not yet" not in shown and "Ready to read" in shown


def test_a_model_of_which_the_package_is_damaged_is_shown_with_that(node: NodeLab) -> None:
    file = package(node)
    file.write_text("{")
    answer = node.face.browser("safety-officer").get("/models")
    assert answer.status_code == 200 and "whole on this node" in answer.text
    file.unlink()
    assert "whole on this node" in node.face.browser("safety-officer").get("/models").text
