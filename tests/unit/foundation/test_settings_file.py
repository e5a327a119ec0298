"""A wrong setting is one line: what, where, the mend."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from wardround.foundation.settings import Settings, SettingsRefused, read_settings, write_toml


class Pacs(Settings):
    port: int = Field(default=104, ge=1, le=65535)


class Example(Settings):
    site: str
    pacs: Pacs = Pacs()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('site = "north"\nsiet = 1\n', ["'siet'", "known here: pacs, site", "remove it"]),
        ('site = "north"\n[pacs]\nprot = 1\n', ["'pacs.prot'", "known here: port"]),
        ("[pacs]\nport = 1\n", ["'site' is missing", "add it"]),
        ('site = "north"\n[pacs]\nport = 99999\n', ["'pacs.port' is 99999", "less than or equal to 65535"]),
        ("site = north\n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_mend(tmp_path: Path, text: str, told: list[str]) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        read_settings(file, Example)
    message = str(refused.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    for part in told:
        assert part in message


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"no such settings file"):
        read_settings(tmp_path / "node.toml", Example)


VALUES = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40),
)
KEYS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)


@given(st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=4)), max_size=6))
def test_what_is_written_reads_back(document: dict[str, object]) -> None:
    assert tomllib.loads(write_toml(document)) == document


def test_text_that_would_break_out_of_its_line_isnt_written() -> None:
    with pytest.raises(SettingsRefused):
        write_toml({"site": 'x"\nadmin = "y'})
