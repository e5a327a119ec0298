"""The page on privacy tells the steps of an update as they are, all of them and in their order."""

from __future__ import annotations

from pathlib import Path

from wardround.contracts.steps import CHOSEN, STEPS

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "privacy.md"
WHERE = {"learning": "learning process", "node": "node"}


def test_the_page_has_the_table_of_the_code() -> None:
    part = PAGE.read_text(encoding="utf-8").split("## The steps of an update")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    told = [(name, does, where) for name, does, where in rows[2:]]
    always = {name: "" if name in CHOSEN else "; always" for name in STEPS}
    assert told == [(name, f"{step.does}{always[name]}", WHERE[step.where]) for name, step in STEPS.items()]
