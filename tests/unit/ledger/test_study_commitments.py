"""Commitments tell nothing without a salt and prove membership with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.ledger.commitment import (
    commitment,
    commitment_root,
    draw_salts,
    prove_membership,
    verify_membership,
)
from wardround.ledger.proof import ProofRefused

STUDIES = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(9)]


@given(st.lists(st.text(max_size=64).filter(lambda text: text.isascii()), min_size=1, max_size=20, unique=True))
def test_every_study_of_a_manifest_is_proven_and_no_other(studies: list[str]) -> None:
    salts = draw_salts(studies)
    root = commitment_root(salts)
    for study in studies:
        verify_membership(study, root, prove_membership(study, salts))
        with pytest.raises(ProofRefused):
            verify_membership(study + "x", root, prove_membership(study, salts))


def test_the_root_depends_on_the_studies_and_not_on_their_order() -> None:
    salts = draw_salts(STUDIES)
    assert commitment_root(dict(reversed(salts.items()))) == commitment_root(salts)
    assert commitment_root(dict(list(salts.items())[:-1])) != commitment_root(salts)


def test_the_same_studies_have_another_root_in_the_next_manifest() -> None:
    assert commitment_root(draw_salts(STUDIES)) != commitment_root(draw_salts(STUDIES))


def test_a_proof_fails_under_another_root_salt_or_place() -> None:
    salts = draw_salts(STUDIES)
    root, proof = commitment_root(salts), prove_membership(STUDIES[0], salts)
    for wrong_root, wrong in (
        (commitment_root(draw_salts(STUDIES)), proof),
        (root, replace(proof, salt=salts[STUDIES[1]])),
        (root, replace(proof, salt=b"")),
        (root, replace(proof, index=(proof.index + 1) % 9)),
        (root, replace(proof, proof=proof.proof[:-1])),
    ):
        with pytest.raises(ProofRefused):
            verify_membership(STUDIES[0], wrong_root, wrong)


def test_a_study_whose_salt_was_destroyed_is_no_longer_found() -> None:
    salts = draw_salts(STUDIES)
    del salts[STUDIES[0]]
    with pytest.raises(KeyError):
        prove_membership(STUDIES[0], salts)


def test_what_commits_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no study"):
        commitment_root({})
    with pytest.raises(ValueError, match="twice"):
        draw_salts(["1.2", "1.2"])
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(b"short", "1.2")
