"""Masked rounds in memory: hospitals with keys of their own, a hub, and who falls silent when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from wardround.contracts.masking import MaskedRound
from wardround.learning.masking.hub import MaskingHub
from wardround.learning.masking.roster import verify_by
from wardround.learning.masking.site import MaskingSite

ABOUT = MaskedRound(
    ledger="wardround/testing",
    run="glioma-1",
    leg="glioma-1.1",
    round=1,
    project="a" * 64,
    model="b" * 64,
    threshold=2,
)
NAMES = ("alpha", "beta", "delta", "gamma", "omega")
LEDGER_KEYS = {name: Ed25519PrivateKey.generate() for name in NAMES}


verify = verify_by({name: key.public_key().public_bytes_raw() for name, key in LEDGER_KEYS.items()})
"""As every copy of the ledger has it."""


@dataclass
class MaskedLab:
    """One round of some sites. What the hub received and sent is in `received` and `sent`, by step and site."""

    values: Mapping[str, NDArray[np.float32]]
    weights: Mapping[str, float]
    about: MaskedRound = ABOUT
    bound: float = 10.0
    received: dict[tuple[str, str], bytes] = field(default_factory=dict)
    sent: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = next(iter(self.values.values())).size
        self.hub = MaskingHub(self.about, size, verify)
        self.sites = {name: self.site(name) for name in sorted(self.values)}

    def site(self, name: str, about: MaskedRound | None = None) -> MaskingSite:
        return MaskingSite(
            name,
            about or self.about,
            weight=self.weights[name],
            bound=self.bound,
            sign=LEDGER_KEYS[name].sign,
            verify=verify,
        )

    def up_to_roster(self) -> bytes:
        for name, site in self.sites.items():
            self.hub.advertised(name, self._got("advertise", name, site.advertise()))
        return self.hub.roster()

    def up_to_shares(self, gone: Collection[str] = ()) -> None:
        roster = self.up_to_roster()
        for name in self._but(gone):
            self.hub.shared(name, self._got("share", name, self.sites[name].share(roster)))
        self.hub.close_shares()

    def up_to_survivors(self, gone: Collection[str] = (), silent: Collection[str] = ()) -> bytes:
        """`gone` before their shares, `silent` after them and before their input."""
        self.up_to_shares(gone)
        for name in self._but((*gone, *silent)):
            self.sent["input", name] = self.hub.shares_for(name)
            masked = self.sites[name].input(self.sent["input", name], self.values[name])
            self.hub.masked(name, self._got("input", name, masked))
        return self.hub.survivors()

    def up_to_confirmations(
        self, gone: Collection[str] = (), silent: Collection[str] = (), unconfirmed: Collection[str] = ()
    ) -> bytes:
        survivors = self.up_to_survivors(gone, silent)
        for name in self._but((*gone, *silent, *unconfirmed)):
            self.hub.confirmed(name, self._got("confirm", name, self.sites[name].confirm(survivors)))
        return self.hub.confirmations()

    def result(
        self,
        gone: Collection[str] = (),
        silent: Collection[str] = (),
        unconfirmed: Collection[str] = (),
        unrevealed: Collection[str] = (),
    ) -> NDArray[np.float64]:
        """`unconfirmed`: silent after their input; `unrevealed`: after they confirmed."""
        confirmations = self.up_to_confirmations(gone, silent, unconfirmed)
        for name in self._but((*gone, *silent, *unconfirmed, *unrevealed)):
            self.hub.revealed(name, self._got("reveal", name, self.sites[name].reveal(confirmations)))
        self.hub.unmask()
        return self.hub.result()

    def mean(self, names: Sequence[str]) -> NDArray[np.float64]:
        """What the hub would have made of these sites' updates if it had seen them."""
        total = sum(self.weights[name] * self.values[name].astype(np.float64) for name in names)
        return np.asarray(total / sum(self.weights[name] for name in names), np.float64)

    @property
    def rounding(self) -> float:
        """How far the masked mean of all sites may lie from the plain one."""
        coding = self.hub._circle.coding
        return coding.step * len(self.sites) / 2 / min(self.weights.values()) + 1e-12

    def _but(self, gone: Collection[str]) -> list[str]:
        return [name for name in self.sites if name not in gone]

    def _got(self, step: str, name: str, message: bytes) -> bytes:
        self.received[step, name] = message
        return message


def lab(sites: int = 4, *, seed: int = 1, size: int = 40, **settings: object) -> MaskedLab:
    """So many sites with random updates, each weighing more than the one before."""
    random = np.random.default_rng(seed)
    names = NAMES[:sites]
    values = {name: random.normal(size=size).astype(np.float32) for name in names}
    weights = {name: 10.0 * (1 + place) for place, name in enumerate(names)}
    return MaskedLab(values, weights, **settings)  # type: ignore[arg-type]  # passed through
