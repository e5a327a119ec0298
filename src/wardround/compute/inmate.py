"""What runs in the jail: one call of a learner over a package's own code. Called by `compute.jailed`, never imported.

It reads what this hospital's own program wrote, and leaves its answer as JSON and safetensors: nothing that the
package's code could have touched is ever unpickled by anybody.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

from wardround.compute.jail import INPUTS
from wardround.compute.jailed import ANSWER, ARRAYS
from wardround.learning import network
from wardround.learning.arrays import ArraysRefused, to_bytes
from wardround.learning.bundle import BundleRefused
from wardround.learning.case import CaseRefused
from wardround.learning.kinds import learner_of

CALL, CASES, PACKAGE = (INPUTS / name for name in ("call", "cases", "package"))


def main(threads: int, setting: str) -> None:
    network.OWN_CODE = PACKAGE
    call = pickle.loads((CALL / "call").read_bytes())  # noqa: S301 - of this node's own program
    cases = pickle.loads((CASES / "cases").read_bytes())  # noqa: S301 - the same
    answer: dict[str, object]
    try:
        learner = learner_of(PACKAGE, threads, setting)
        if call["do"] == "train":
            trained = learner.train(call["arrays"], cases, **call["with"])
            Path(ARRAYS).write_bytes(to_bytes(trained.arrays))
            answer = {"loss": trained.loss, "steps": trained.steps, "rates": trained.rates}
        else:
            answer = {"outcomes": learner.evaluate(call["arrays"], cases)}
    except (ArraysRefused, CaseRefused, BundleRefused) as refusal:
        answer = {"refused": type(refusal).__name__, "reason": refusal.reason}
    Path(ANSWER).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
