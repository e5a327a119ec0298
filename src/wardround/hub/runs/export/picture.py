"""The metric of each round's model at each site as a chart."""

from __future__ import annotations

from wardround.hub.runs.export.chart import Chart, Line
from wardround.hub.runs.history import History


def picture(told: History) -> Chart:
    """A line for each site and a heavy one of all together, over the rounds. At least one score has to be there."""
    words = told.metric.words
    lines = [
        Line(site, [(number, score) for (number, where), score in told.scores.items() if where == site])
        for site in told.sites
    ]
    mean = [(row.number, row.score) for row in told.rounds if row.score is not None]
    if mean:
        lines.append(Line("all together", mean, heavy=True))
    better = "" if told.metric.larger_is_better else ", the smaller the better"
    return Chart(
        title=f"{words} of each round's model, run {told.run.id}",
        across="round (0: the model that the run began with)",
        up=f"{words} on held-out patients{better}",
        lines=[line for line in lines if line.points],
        wanted=None if told.plan.target is None else ("wanted", told.plan.target),
        largest=1.0 if told.metric.larger_is_better else None,
    )
