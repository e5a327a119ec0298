"""What a network is to tell of a person, as losses and outcomes. Needs torch."""

from __future__ import annotations

import torch
from torch.nn import functional

from wardround.contracts.metric import MetricName
from wardround.learning.fact import Target
from wardround.learning.metrics import Outcome


def loss(target: Target, outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean loss of a batch: outputs (N, 1), wanted (N, `target.width`)."""
    told = outputs[:, 0]
    if target.kind == "class":
        return functional.binary_cross_entropy_with_logits(told, wanted[:, 0])
    if target.kind == "number":
        return functional.smooth_l1_loss(told, (wanted[:, 0] - target.mean) / target.scale)
    return partial_likelihood(told, wanted[:, 0], wanted[:, 1])


def partial_likelihood(risks: torch.Tensor, times: torch.Tensor, events: torch.Tensor) -> torch.Tensor:
    """Minus the log of Cox's partial likelihood of a batch, by the mean over its events, ties as Breslow has them (Cox,
    JRSS B 34(2), 1972; Breslow, Biometrics 30(1), 1974). Nobody with an event: 0.

    Args:
        risks: the log of each hazard. times: until the event, or for how long there was none. events: 1 or 0.
    """
    at_risk = times[None, :] >= times[:, None]
    total = torch.logsumexp(risks[None, :].masked_fill(~at_risk, -torch.inf), 1)
    return ((total - risks) * events).sum() / events.sum().clamp_min(1)


def outcome(metric: MetricName, target: Target, output: float, wanted: tuple[float, ...]) -> Outcome:
    """What the metric needs of one person."""
    if metric == "c_index":
        return (output, *wanted)
    if metric == "auc":
        return (output, wanted[0])
    if metric == "mae":
        return (abs(output * target.scale + target.mean - wanted[0]),)
    return (float((output > 0) == (wanted[0] > 0)),)
