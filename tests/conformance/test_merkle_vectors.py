"""The inclusion and consistency vectors of transparency-dev/merkle, good and bad."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from wardround.ledger.proof import (
    ProofRefused,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)

FOLDER = Path(__file__).parents[3] / "shared" / "reference" / "merkle-vectors" / "testdata"
FILES = sorted(FOLDER.rglob("*.json"))

pytestmark = pytest.mark.skipif(not FILES, reason="the merkle vectors aren't there (../shared/reference)")


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def _decode(value: str) -> bytes:
    return b64decode(value)


def _check(family: str, vector: dict[str, Any], hashes: dict[str, bytes], proof: list[bytes]) -> None:
    if family == "inclusion":
        verify_inclusion(vector["leafIdx"], vector["treeSize"], hashes["leafHash"], hashes["root"], proof)
    elif family == "subtreeinclusion":
        verify_subtree_inclusion(
            vector["leafIdx"], vector["start"], vector["end"], hashes["leafHash"], hashes["root"], proof
        )
    elif family == "consistency":
        verify_consistency(vector["size1"], vector["size2"], hashes["root1"], hashes["root2"], proof)
    else:
        assert family == "subtreeconsistency"
        verify_subtree_consistency(
            vector["start"], vector["end"], vector["size"], hashes["root1"], hashes["root2"], proof
        )


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_vector_is_judged_as_its_file_says(path: Path) -> None:
    """Some vectors put words in place of a hash. We refuse those as they stand, for their length; for the rest of
    what they say, each odd-sized value is replaced by its SHA-256, so that length can't be why it is refused."""
    vector = json.loads(path.read_text())
    family = path.relative_to(FOLDER).parts[0]
    hashes = {key: _decode(vector[key] or "") for key in ("leafHash", "root", "root1", "root2") if key in vector}
    proof = [_decode(item) for item in vector["proof"] or []]

    if any(len(value) != 32 for value in [*hashes.values(), *proof]):
        with pytest.raises(ProofRefused):
            _check(family, vector, hashes, proof)
    if not all(hashes.values()):
        assert vector["wantErr"], "the missing hash is itself what is wrong"
        return
    whole = {key: value if len(value) == 32 else sha256(value).digest() for key, value in hashes.items()}
    whole_proof = [value if len(value) == 32 else sha256(value).digest() for value in proof]
    if vector["wantErr"]:
        with pytest.raises(ProofRefused):
            _check(family, vector, whole, whole_proof)
    else:
        _check(family, vector, whole, whole_proof)


def test_all_vectors_are_there() -> None:
    """518 files; fewer means that the folder is damaged and the test above proves less than it says."""
    assert len(FILES) == 518
