"""Which of a model's arrays travel between a hospital and the hub, by their names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from wardround.contracts.base import Frozen

Pattern = Annotated[str, StringConstraints(max_length=100, pattern=r"^[.:*?-]*[A-Za-z0-9_][A-Za-z0-9_.:*?-]*$")]
"""Of whole names of arrays: `*` stands for any characters, `?` for one, everything else for itself."""

Patterns = Annotated[tuple[Pattern, ...], Field(max_length=50)]


class Layers(Frozen):
    """Arrays that don't travel. All that isn't named here is trained, leaves as an update, and is averaged.

    `at_home` are trained at each hospital and never leave it; `frozen` are trained by nobody and stay as the run began.
    Every pattern has to name something of the model, and something has to be left that travels.
    """

    at_home: Patterns = ()
    frozen: Patterns = ()

    def in_words(self) -> list[str]:
        """A line for each of the two that names something."""
        lines = []
        if self.at_home:
            lines.append(f"layers trained here that never leave: {', '.join(self.at_home)}")
        if self.frozen:
            lines.append(f"layers that nobody trains: {', '.join(self.frozen)}")
        return lines
