"""What this hospital did in each run, and how models did on its held-out patients. None of it leaves as it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class DataUse(NodeTable):
    """A use of a frozen cohort, as its ledger entry tells it. `signed` is that entry, kept before it is sent, so that
    however often it is sent it stays one; `entry` its place in the ledger once the hub took it. Nothing was read under
    a use without one. `round` is 0 and `model` empty where the purpose names none."""

    __tablename__ = "data_uses"
    __table_args__ = (UniqueConstraint("run", "purpose", "round", "model", "manifest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40))
    purpose: Mapped[str] = mapped_column(String(20))
    round: Mapped[int]
    model: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[int]
    signed: Mapped[bytes] = mapped_column(LargeBinary)
    entry: Mapped[int | None]
    begun_at: Mapped[datetime] = mapped_column(UtcTime)


class RoundDone(NodeTable):
    """This site's part in one round: `entry` is its place in the ledger, `steps` what it took. `score`, by `metric`,
    judges the weights that the round began with; none where the held-out patients can't tell it."""

    __tablename__ = "rounds_done"
    __table_args__ = (UniqueConstraint("run", "round", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40), index=True)
    round: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    entry: Mapped[int]
    steps: Mapped[int]
    loss: Mapped[float]
    metric: Mapped[str] = mapped_column(String(20))
    score: Mapped[float | None]
    done_at: Mapped[datetime] = mapped_column(UtcTime)


class MaskedSum(NodeTable):
    """A sum of masked updates that this hospital helped to unmask: of which round, of updates from the weights with the
    digest `model`, and whose they were. Of one round, and of one model under one edition of a project, it helps with no
    other sum: the difference of two would be what a few hospitals, or one, gave."""

    __tablename__ = "masked_sums"

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40), index=True)
    round: Mapped[int]
    edition: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64), index=True)
    survivors: Mapped[list[str]] = mapped_column(JSON)
    revealed_at: Mapped[datetime] = mapped_column(UtcTime)


class Judgement(NodeTable):
    """A model on this site's held-out patients: what `metric` needs of each, by the project's own pseudonyms
    (`learning.metrics.Outcome`). Only its value over all of them is told."""

    __tablename__ = "judgements"
    __table_args__ = (UniqueConstraint("run", "label", "model"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40), index=True)
    label: Mapped[str] = mapped_column(String(60))
    model: Mapped[str] = mapped_column(String(64))
    metric: Mapped[str] = mapped_column(String(20))
    outcomes: Mapped[dict[str, Any]] = mapped_column(JSON)
    training: Mapped[int]
    judged_at: Mapped[datetime] = mapped_column(UtcTime)
