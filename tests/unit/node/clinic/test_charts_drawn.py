"""The picture of what is watched of a model: it shows every peak, however many studies there were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from wardround.node.clinic.tables import WorklistLine
from wardround.node.monitoring.charts import DRAWN, charts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(number: int, state: str) -> WorklistLine:
    at = NOON + timedelta(minutes=number)
    return WorklistLine(study=f"{number:032x}", state=state, flagged=False, contrast=None, arrived_at=at, image=None)


def test_a_chart_of_many_studies_is_drawn_with_few_points_and_with_its_peak() -> None:
    """Three failures in a row long ago, which is far from the limit by now."""
    lines = [line(number, "failed" if 100 <= number < 103 else "kept") for number in range(1000)]
    [failures, *_] = charts(lines, None, 0.02, 10_000)
    assert failures.reason == "failures" and failures.studies == 1000
    assert len(failures.path) <= DRAWN
    assert failures.path[-1] == (1000.0, failures.value) and failures.value == 0.0
    studies, values = zip(*failures.path, strict=True)
    assert list(studies) == sorted(studies)
    assert 100 <= studies[values.index(max(values))] <= 104 and max(values) > 1


def test_what_was_never_seen_has_no_line() -> None:
    assert {chart.path for chart in charts([], None, 0.02, 10_000)} == {()}
