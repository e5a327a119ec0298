"""A browser reckons by itself whether an entry is on the ledger: by published vectors, and by proofs of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.browser.conftest import Seat
from tests.pages_lab import HubLab

from wardround.people.roles import Role
from wardround.ui import assets

Sit = Callable[..., Seat]
VECTORS = Path(__file__).parents[3] / "shared" / "reference" / "merkle-vectors" / "testdata" / "inclusion"
JUDGED = """async ([address, vectors]) => {
  const { rootOf } = await import(address);
  const bytes = (text) => Uint8Array.from(atob(text ?? ""), (letter) => letter.charCodeAt(0));
  const found = {};
  for (const [name, one] of Object.entries(vectors)) {
    try {
      const path = (one.proof ?? []).map(bytes);
      const root = await rootOf(bytes(one.leafHash), BigInt(one.leafIdx), BigInt(one.treeSize), path);
      found[name] = root.length === 32 && root.every((byte, place) => byte === bytes(one.root)[place]);
    } catch (refused) {
      found[name] = refused.constructor.name === "Refused" ? false : String(refused);
    }
  }
  return found;
}"""


def test_a_proof_is_checked_in_the_browser_and_a_changed_one_is_refused(sit: Sit, hub: HubLab) -> None:
    seat = sit(hub.face, Role.OPERATOR.value)
    page = seat.go("/ledger/3")
    page.get_by_role("link", name="Check it in this browser").click()
    page.get_by_label("A file that ends in .tlog-proof").wait_for()
    page.wait_for_load_state("load")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Check it").click()
    found = page.locator("[data-proof-found]")
    found.get_by_role("heading", name="Proven, by what this browser checked itself").wait_for()
    told = found.inner_text()
    assert told.count("held") == 5 and "east, north, south" in told and '"site": "north"' in told
    assert asked == [], "nothing that was pasted is sent"

    proof, keys = page.get_by_label("The proof"), page.get_by_label("The keys, of people whom you trust")
    whole, known = proof.input_value(), keys.input_value()
    vkeys = known.splitlines()
    signed = next(line for line in whole.splitlines() if line.startswith("\u2014 wardround/trial "))
    forged = signed[:60] + ("A" if signed[60] != "A" else "B") + signed[61:]
    for changed, trusted, says in (
        (whole.replace("index 3", "index 2"), known, "leads to another root"),
        (whole.replace("index 3", "index 99"), known, "outside of the tree"),
        (whole.replace("wardround/trial\n10\n", "wardround/trial\n11\n"), known, "The entry is in the tree"),
        (whole.replace("\u2014 wardround/trial ", "\u2014 someone/else "), known, "the hub didn't sign"),
        (whole.replace(signed, forged), known, "the hub's signature doesn't hold"),
        (whole, "\n".join([vkeys[0], vkeys[4]]), "0 of 1 witnesses cosigned it, and 1 have to"),
        (whole, "\n".join(vkeys[1:]), "the keys need the hub's line"),
        ("\n".join(whole.splitlines()[:3]), known, "a proof begins with"),
    ):
        proof.fill(changed)
        keys.fill(trusted)
        page.get_by_role("button", name="Check it").click()
        found.get_by_text(says, exact=False).first.wait_for()
        assert found.get_by_role("heading", name="Not proven").is_visible(), says


def test_published_vectors_are_judged_as_they_say(sit: Sit, hub: HubLab) -> None:
    vectors = {str(path.relative_to(VECTORS)): json.loads(path.read_text()) for path in VECTORS.rglob("*.json")}
    if not vectors:
        pytest.skip("the merkle vectors aren't there (../shared/reference)")
    seat = sit(hub.face, Role.OPERATOR.value)
    judged = seat.page.evaluate(JUDGED, [assets.address("proof.js"), vectors])
    assert judged == {name: not one["wantErr"] for name, one in vectors.items()}
