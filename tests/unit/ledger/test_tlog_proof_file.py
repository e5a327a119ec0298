"""A proof file shows by itself that an entry is in the ledger and who vouches for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.ledger.federation import Federation, Site

from wardround.foundation.errors import WardroundError
from wardround.ledger.note import SignatureType, Signer, Verifier
from wardround.ledger.proof import ProofRefused
from wardround.ledger.tlog_proof import check_tlog_proof, write_tlog_proof

Found = Callable[..., Federation]


def witness(site: Site) -> Verifier:
    return Signer(site.name, SignatureType.COSIGNATURE, site.witness_key).verifier


def proof_file(federation: Federation, index: int) -> str:
    note = federation.round_of_witnesses()
    with federation.database.reading() as tx:
        path = federation.log.inclusion(tx, index, federation.log.size(tx))
    return write_tlog_proof(federation.entries(index, index + 1)[0], index, path, note)


def test_a_proof_names_the_entry_its_place_and_its_witnesses(found: Found) -> None:
    federation = found("north", "south")
    [index] = federation.append(federation.sites[1].approval())
    text = proof_file(federation, index)
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    proven = check_tlog_proof(text, federation.log.verifier, [witness(site) for site in federation.sites])
    assert (proven.index, proven.checkpoint.size) == (2, 3)
    assert proven.data == federation.entries(2, 3)[0]
    assert proven.cosigned_by == {"north", "south"}
    assert check_tlog_proof(text, federation.log.verifier, [witness(federation.sites[0])]).cosigned_by == {"north"}


def test_the_proof_of_the_only_entry_has_no_hashes(found: Found) -> None:
    federation = found("north")
    assert check_tlog_proof(proof_file(federation, 0), federation.log.verifier, []).index == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_a_changed_character_never_shows_another_entry(made: tuple[str, Verifier], draw: st.DataObject) -> None:
    text, log = made
    body = text.index("\n\n", text.index("\n\n") + 2)
    at = draw.draw(st.integers(0, body))
    character = draw.draw(st.characters(exclude_characters=text[at]))
    with pytest.raises(WardroundError):
        check_tlog_proof(text[:at] + character + text[at + 1 :], log, [])


@pytest.fixture
def made(found: Found) -> tuple[str, Verifier]:
    federation = found("north", "south", "west")
    return proof_file(federation, 1), federation.log.verifier


@pytest.mark.parametrize(
    "text", ["", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v2\nextra \nindex 0\n\n", "x" * 300_000]
)
def test_other_files_are_refused(made: tuple[str, Verifier], text: str) -> None:
    with pytest.raises(ProofRefused) as refused:
        check_tlog_proof(text, made[1], [])
    assert refused.value.code == "malformed"
