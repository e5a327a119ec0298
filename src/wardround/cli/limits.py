"""A data controller's limits as they are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.contracts.approval_limits import ApprovalLimits

_MESSAGE = re.compile(r"([a-z-]+)=(\d+)?(?:x(\d+))?")


def limits_from(
    *,
    until: str | None,
    rounds: int | None,
    runs: int | None,
    messages: Sequence[str],
    no_local_model: bool,
    clip_norm: float | None,
    noise: float | None,
    epsilon: float | None,
    delta: float | None,
) -> ApprovalLimits:
    """The limits that options say.

    Raises:
        typer.BadParameter: one of them can't be read; the text says which, and how it is written.
    """
    from pydantic import ValidationError

    from wardround.contracts.approval_limits import ApprovalLimits

    document = {
        "until": until,
        "rounds": rounds,
        "runs": runs,
        "messages": [_message(text) for text in messages],
        "no_local_model": no_local_model,
        "clip_norm": clip_norm,
        "noise_multiplier": noise,
        "epsilon": epsilon,
        "delta": delta,
    }
    try:
        return ApprovalLimits.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = (
            str(fault["loc"][0]).replace("noise_multiplier", "noise").replace("_", "-").replace("messages", "message")
        )
        raise typer.BadParameter(f"--{where}: {fault['msg']}") from None


def _message(text: str) -> dict[str, object]:
    read = _MESSAGE.fullmatch(text)
    if read is None or (read[2] is None and read[3] is None):
        raise typer.BadParameter(
            f"--message {text}: write KIND=BYTES, KIND=BYTESxTIMES or KIND=xTIMES, as in run-update=5000000x1"
        )
    return {"kind": read[1], "largest_bytes": read[2] and int(read[2]), "times": read[3] and int(read[3])}
