"""The heart disease data of four hospitals, in the parts and units of FLamby's Fed-Heart-Disease.

Ogier du Terrail et al.: FLamby: Datasets and Benchmarks for Cross-Silo Federated Learning in Realistic Healthcare
Settings, NeurIPS 2022 (datasets and benchmarks). Data: Janosi, Steinbrunn, Pfisterer, Detrano: Heart Disease, UCI
Machine Learning Repository, 1988.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "uci-heart"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
TRAIN, TEST = 0.66, 1 - 0.66
FEATURES = 13
_KEPT = (*range(10), 13)
_CATEGORIES = {2: (2, 3, 4), 6: (1, 2)}


@dataclass(frozen=True)
class Rows:
    """Patients: features (N, 13), and labels (N, 1), 1 for heart disease."""

    features: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, indices: Sequence[int] | NDArray[np.intp]) -> Rows:
        chosen = torch.as_tensor(np.asarray(indices))
        return Rows(self.features[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Parts:
    """One hospital's patients, or all hospitals', by the parts that they are trained and judged in; raw units."""

    train: Rows
    test: Rows

    def standardised(self) -> Parts:
        """Each feature less its mean, by its deviation, both of the training part alone."""
        return self.in_units(self.train.features.mean(0), self.train.features.std(0) + 1e-9)

    def in_units(self, mean: torch.Tensor, spread: torch.Tensor) -> Parts:
        """Each feature less `mean`, by `spread`; both (13)."""
        scaled = [Rows((part.features - mean) / spread, part.labels) for part in (self.train, self.test)]
        return Parts(*scaled)

    def folded(self, number: int) -> Parts:
        """A quarter of the training part held out in place of the test part, which is left alone."""
        labels = self.train.labels.numpy()[:, 0].astype(int)
        held_out = drawn(labels, np.random.RandomState(number), 0.75, 0.25)
        return Parts(self.train.pick(np.setdiff1d(np.arange(len(labels)), held_out)), self.train.pick(held_out))


def pooled(hospitals: Sequence[Parts]) -> Parts:
    def together(rows: Sequence[Rows]) -> Rows:
        return Rows(torch.cat([one.features for one in rows]), torch.cat([one.labels for one in rows]))

    return Parts(together([one.train for one in hospitals]), together([one.test for one in hospitals]))


def asked(
    about: str | None, quick: str, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, list[Parts] | None]:
    """What a benchmark over these hospitals was called with, and the hospitals: None where their data aren't
    there, which a line says.

    Args:
        about: the benchmark's docstring. quick: what `--quick` does.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--data", type=Path, metavar="FOLDER", default=DATA, help="the four processed.*.data files")
    options = parser.parse_args(arguments)
    try:
        return options, read(options.data)
    except OSError as error:
        print(f"skipped: {options.data} can't be read ({error.strerror}); give the folder with --data")
        return options, None


def read(folder: Path) -> list[Parts]:
    """The four hospitals, in the order of `HOSPITALS`. Raises `OSError` where a file isn't there."""
    return [_parts(_table(folder / f"processed.{name}.data")) for name in HOSPITALS]


def _table(file: Path) -> Rows:
    """The patients of whom nothing is missing but what is never asked: slope, vessels and thallium."""
    lines = [line.split(",") for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
    kept = [[line[column] for column in _KEPT] for line in lines]
    values = np.array([[float(cell) for cell in row] for row in kept if "?" not in row])
    plain = [column for column in range(10) if column not in _CATEGORIES]
    levels = [values[:, column] == level for column, known in _CATEGORIES.items() for level in known]
    features = np.column_stack([values[:, plain], *levels]).astype(np.float32)
    labels = (values[:, -1:] > 0).astype(np.float32)
    return Rows(torch.from_numpy(features), torch.from_numpy(labels))


def _parts(rows: Rows) -> Parts:
    held_out = drawn(rows.labels.numpy()[:, 0].astype(int), np.random.RandomState(43), TRAIN, TEST)
    return Parts(rows.pick(np.setdiff1d(np.arange(len(rows)), held_out)), rows.pick(held_out))


def drawn(labels: NDArray[np.intp], draws: np.random.RandomState, train: float, test: float) -> NDArray[np.intp]:
    """Sorted indices of a held-out part, the same as scikit-learn's `train_test_split` draws with that state.

    In each class by its share, where every class has more than two members; else from all alike.
    """
    total = len(labels)
    wanted, rest = int(np.ceil(test * total)), int(np.floor(train * total))
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() <= 2:
        return np.sort(draws.permutation(total)[:wanted])
    trained = _shares(counts, rest, draws)
    tested = _shares(counts - trained, wanted, draws)
    chosen: list[int] = []
    for kind, members in enumerate(np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])):
        order = members[draws.permutation(counts[kind])]
        chosen.extend(order[trained[kind] : trained[kind] + tested[kind]])
    return np.sort(np.array(chosen))


def _shares(counts: NDArray[np.intp], wanted: int, draws: np.random.RandomState) -> NDArray[np.intp]:
    """How many of each class, so that `wanted` in all are as near to its share as whole numbers can be."""
    exact = counts / counts.sum() * wanted
    whole = np.floor(exact)
    missing = int(wanted - whole.sum())
    remainders = exact - whole
    for value in np.unique(remainders)[::-1]:
        if missing == 0:
            break
        (alike,) = np.where(remainders == value)
        now = min(len(alike), missing)
        whole[draws.choice(alike, size=now, replace=False)] += 1
        missing -= now
    return whole.astype(np.intp)
