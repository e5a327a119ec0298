"""The program's commands, run in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from wardround.cli.main import run


@dataclass
class CommandLine:
    """What a fixture hands on: it takes pytest's own two, which put `sys.argv` back and catch what is told."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        """Run `wardround ARGUMENTS`, which has to end with `code`; what it wrote to standard output and error."""
        self.monkeypatch.setattr(sys, "argv", ["wardround", *map(str, arguments)])
        ended: object = 0
        try:
            run()
        except SystemExit as end:
            ended = end.code or 0
        told = self.capsys.readouterr()
        assert ended == code, told.out + told.err
        return told.out, told.err
