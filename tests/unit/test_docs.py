"""The pages say what the code does: generated ones to the byte, and no link or word leads nowhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
from docs import reference

from wardround.cli.main import build

ROOT = Path(__file__).parents[2]
PROGRAMS = (ROOT / "src/wardround/hub", ROOT / "src/wardround/node")
NOT_WORDS = {"migrations"}
"""Folders whose name is the tool's, not ours."""

CODE = ("src/wardround", ".")
"""Where a page's paths begin."""
DECISIONS = [page.relative_to(ROOT) for page in (ROOT / "docs/explanation/adr").glob("*.md")]

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return reference.pages()


def markdown() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_the_committed_reference_is_what_the_code_says(generated: dict[str, str]) -> None:
    folder = ROOT / "docs/reference"
    assert {page.name for page in folder.glob("*.md")} == set(generated)
    stale = [name for name, text in generated.items() if (folder / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs` and commit the pages"


def test_every_command_and_option_says_what_it_is_for(generated: dict[str, str]) -> None:
    page = generated["commands.md"]
    for words, command in reference.commands():
        assert command.help, f"wardround {words} has no docstring"
        section = page.split(f"### wardround {words}\n", 1)[1].split("\n### ", 1)[0]
        for parameter in command.params:
            assert parameter.help, f"wardround {words}: {parameter.opts[0]} has no help"
            assert any(f"`{name}`" in section for name in (*parameter.opts, str(parameter.name).upper()))


def test_every_setting_is_on_the_page_and_named_in_words(generated: dict[str, str]) -> None:
    for file, key in reference.settings():
        section = generated["settings.md"].split(f"## {file}\n", 1)[1].split("\n## ", 1)[0]
        assert f"| `{key}` |" in section


def test_every_message_task_and_entry_is_on_the_page(generated: dict[str, str]) -> None:
    from wardround.contracts import ledger_entry, outbound, task

    page = generated["messages.md"]
    for union in (outbound.Outbound, task.Task, ledger_entry.Entry):
        for model in reference.union_of(union):
            assert f"### {reference.word_of(model)}\n" in page


@pytest.mark.parametrize("page", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_between_pages_is_broken(page: Path) -> None:
    broken = [link for link in links(page) if not leads_somewhere(page, link)]
    assert broken == []


def links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for found in LINK.finditer(text):
        link = found.group(1) or found.group(2)
        if not re.match(r"[a-z]+:", link):
            yield link


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the common hosts make them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One head\n[a](page.md#one-head) [b](gone.md) ![c](gone.svg) [d](page.md#gone)\n```\n[e](f.md)\n```\n"
    )
    assert [link for link in links(page) if not leads_somewhere(page, link)] == ["gone.md", "gone.svg", "page.md#gone"]


def test_folders_of_the_programs_are_words_of_the_glossary() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "GLOSSARY.md").read_text(encoding="utf-8"), re.MULTILINE)
    words = {word.strip().lower() for row in rows for word in row.split(",")}
    folders = {
        folder.name for program in PROGRAMS for folder in program.iterdir() if (folder / "__init__.py").is_file()
    }
    unknown = {name for name in folders - NOT_WORDS if not words & {name, name.removesuffix("s")}}
    assert unknown == set()


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md", *sorted(str(p) for p in DECISIONS)])
def test_code_that_a_page_names_is_there(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.py)`", text))
    assert {name for name in named if not any((ROOT / base / name).is_file() for base in CODE)} == set()


def test_the_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs/explanation/adr"
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04d}" for number in range(1, len(pages) + 1)]
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in pages if page.name not in index] == []


COMMAND = re.compile(r"^\s*(?:\$ )?(?:\S+/)?wardround (.+)$", re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


def told_to_run(text: str) -> Iterator[str]:
    """The commands of a page's fences, without their first word."""
    for fence in FENCED.finditer(text):
        for found in COMMAND.finditer(re.sub(r"\\\n\s*", " ", fence.group())):
            yield found[1]


def faults_of(told: str, known: dict[str, Any]) -> list[str]:
    """Why a command as a page has it couldn't be run."""
    parts = shlex.split(re.sub(r"\$\([^)]*\)", "VALUE", told), comments=True)
    parts = list(takewhile(lambda part: part not in {"|", "&&", "||", ">", ">>", "&", ";"}, parts))
    words = next((size for size in (4, 3, 2, 1) if " ".join(parts[:size]) in known), 0)
    if not words:
        return [f"there is no command {' '.join(parts[:2])}"]
    parameters = known[" ".join(parts[:words])].params
    options = {name: one for one in parameters for name in (*one.opts, *one.secondary_opts) if name.startswith("-")}
    rest, given, faults = parts[words:], set[Any](), []
    arguments = 0
    while rest:
        part = rest.pop(0)
        name, valued, _ = part.partition("=")
        if name == "--help":
            return []
        if not part.startswith("--"):
            arguments += 1
        elif name not in options:
            faults.append(f"there is no option {name}")
        else:
            given.add(options[name])
            if not options[name].is_flag and not valued and not (rest and rest.pop(0)):
                faults.append(f"{name} wants a value")
    taken = [one for one in parameters if one not in options.values()]
    if not sum(one.required for one in taken) <= arguments <= sum(99 if one.nargs < 0 else 1 for one in taken):
        faults.append(f"it takes {len(taken)} arguments, not {arguments}")
    return faults + [f"{one.opts[0]} has to be given" for one in {*options.values()} - given if one.required]


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Each command by its words, those too that are asked for by their noun alone."""
    known = dict(reference.commands())
    nouns: list[tuple[str, Any]] = [("", typer.main.get_command(build([])))]
    for words, noun in nouns:
        if noun.invoke_without_command:
            known[words] = noun
        nouns += [(f"{words} {name}".strip(), one) for name, one in noun.commands.items() if hasattr(one, "commands")]
    return known | {"deid": known["deid run"]}


@pytest.mark.parametrize(
    "page", [page for page in markdown() if "reference" not in page.parts], ids=lambda page: page.stem
)
def test_every_command_that_a_page_tells_to_run_can_be_run_so(page: Path, known: dict[str, Any]) -> None:
    wrong = {told: faults_of(told, known) for told in told_to_run(page.read_text(encoding="utf-8"))}
    assert {told: faults for told, faults in wrong.items() if faults} == {}


def test_a_command_that_cant_be_run_so_would_be_found(known: dict[str, Any]) -> None:
    assert faults_of("node pull --home DIR --accession A1 --accession A2", known) == []
    assert faults_of("node pull --accession A1", known) == ["--home has to be given"]
    assert faults_of("node pull --home DIR --acession A1", known) == [
        "there is no option --acession",
        "it takes 0 arguments, not 1",
    ]
    assert faults_of("node pul --home DIR", known) == ["there is no command node pul"]
    assert faults_of("hub invite --home hub", known) == ["it takes 1 arguments, not 0"]
    assert faults_of("node join TOKEN --home", known) == ["--home wants a value"]
    assert list(told_to_run("```\n$ wardround hub init \\\n   --home hub  # first\n```\n")) == [
        "hub init  --home hub  # first"
    ]
