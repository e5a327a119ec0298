"""Runs, their legs, their whole rounds, who took part in each, and what was judged afterwards."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class RunRow(HubTable):
    """A run. `current` is the digest of the aggregate of round `round` (of the initial weights at round 0). `began` is
    that of all the weights it began with, where only some of them travel. `judges` is the registered model that a run
    has judged which trains none; its `current` are that model's weights."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    project_digest: Mapped[str] = mapped_column(String(64))
    plan: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(200), default="")
    round: Mapped[int] = mapped_column(default=0)
    current: Mapped[str] = mapped_column(String(64))
    began: Mapped[str | None] = mapped_column(String(64))
    best_round: Mapped[int | None]
    best_score: Mapped[float | None]
    model: Mapped[str | None] = mapped_column(String(64))
    judges: Mapped[str | None] = mapped_column(String(64))
    engine: Mapped[str] = mapped_column(String(40))
    engine_version: Mapped[str] = mapped_column(String(40))
    started_by: Mapped[str] = mapped_column(String(80))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    state_since: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class LegRow(HubTable):
    """One job of the engine. `absent` are the sites that were wanted and aren't in it, each with the reason."""

    __tablename__ = "run_legs"
    __table_args__ = (UniqueConstraint("run", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[int]
    first_round: Mapped[int]
    last_round: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(200), default="")
    absent: Mapped[dict[str, str] | None] = mapped_column(JSON)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class RoundRow(HubTable):
    """A whole round: its aggregate is on disk and this row is in the same transaction as the run's own.

    `score` judges this round's aggregate by the plan's metric; sites tell it when they have the aggregate, with their
    next update. Of a run that merges, `ensemble` says that the aggregate holds its parents side by side.
    """

    __tablename__ = "run_rounds"
    __table_args__ = (UniqueConstraint("run", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[int]
    leg: Mapped[int]
    aggregate: Mapped[str] = mapped_column(String(64))
    entry: Mapped[int | None]
    seconds: Mapped[float]
    score: Mapped[float | None]
    ensemble: Mapped[bool] = mapped_column(default=False)
    committed_at: Mapped[datetime] = mapped_column(UtcTime)


class RoundSiteRow(HubTable):
    """One site in one round: its part, or why it is missing (`state` taken, missing or refused).

    `score` judges the aggregate that the site was given, which is the round before's.
    """

    __tablename__ = "run_round_sites"

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    round: Mapped[int]
    site: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(80), default="")
    weight: Mapped[float] = mapped_column(default=0.0)
    score: Mapped[float | None]
    entry: Mapped[int | None]
    bytes_up: Mapped[int] = mapped_column(default=0)
    bytes_down: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)


class LocalModelRow(HubTable):
    """The model that one site trained alone, for comparison."""

    __tablename__ = "run_local_models"
    __table_args__ = (UniqueConstraint("run", "site"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    site: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    steps: Mapped[int]
    entry: Mapped[int]


class StatisticsRow(HubTable):
    """What one site's patients make the statistics of the normalisation layers of `model`, a merge as it was averaged.
    `digest` names the arrays."""

    __tablename__ = "run_statistics"
    __table_args__ = (UniqueConstraint("run", "site", "model"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    site: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    entry: Mapped[int]


class RunTaskRow(HubTable):
    """A task that the run waits for, by the site's task number: to join a leg, one model trained alone, one merge's
    statistics, or one judgement."""

    __tablename__ = "run_tasks"
    __table_args__ = (UniqueConstraint("site", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    site: Mapped[str] = mapped_column(String(40))
    number: Mapped[int]
    purpose: Mapped[str] = mapped_column(String(20))


class EvaluationRow(HubTable):
    """How good a model is on one site's held-out patients, by the plan's metric; none where these can't tell it.
    `membership` is how well it betrays whom it was trained on, in per cent, where that was asked for."""

    __tablename__ = "run_evaluations"
    __table_args__ = (UniqueConstraint("run", "label", "model", "site"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    label: Mapped[str] = mapped_column(String(60))
    model: Mapped[str] = mapped_column(String(64))
    site: Mapped[str] = mapped_column(String(40))
    score: Mapped[float | None]
    patients: Mapped[int | None]
    membership: Mapped[int | None]
    entry: Mapped[int]
