"""Why a site is missing from a round, in words: what the hub saw, what the site told, or why its update was refused."""

from __future__ import annotations

from collections.abc import Iterable

DECLINED, REFUSED = "declined: ", "refused: "

WORDS = {
    # What the hub saw.
    "not-connected": "its engine client wasn't connected when the leg began",
    "disconnected": "its connection to the engine broke off; it is asked in again as soon as it is back",
    "no-contact": "nothing was heard of it: its machine stands still, or the network lost it without a word",
    "process-ended": "its engine process ended; it is asked in again after the round",
    "deadline": "it was still at work when the round's time was over",
    "trainer-lost": "its engine client runs, and its node doesn't",
    "failed": "its node failed in the round; its own log says at what",
    "refused-job": "its policy refused the engine's job, or its machine was too busy to take it within 20 seconds",
    # What the site told.
    "disk-full": "its disk is full; make room there",
    "not-approved": "its data controller hasn't approved this edition of the project",
    "withdrawn": "its data controller took the approval back",
    "expired": "the last day of its approval is past",
    "no-manifest": "its cohort isn't on the ledger yet",
    "manifest-not-settled": "a quorum hasn't cosigned its cohort yet",
    "ledger-untrusted": "it doesn't trust the ledger; look there at once, with `wardround ledger status`",
    "not-the-approved-plan": "it was asked for what its data controller didn't approve",
    "own-code-not-allowed": "its policy doesn't name the package's own code as what may run there",
    "no-jail": "it can't make a jail for the package's own code; its own log says what to install",
    "no-package": "the package isn't there; it is added with `wardround package add`",
    "package-differs": "it has another package of that name than was approved",
    "too-many-runs": "its policy allows no more runs at once; it is asked again with the next leg",
    "leg-given-up": "its leg was over before it had an update",
    "message-too-often": "more different updates of this round than were approved would have left",
    "message-too-large": "its update is larger than was approved",
    "learning-process-died": "its learning process ended: out of memory, as a rule",
    "not-learnable": "something is wrong with the cohort there; its own log says what",
    "outside-hours": "it doesn't work at this hour",
    "round-limit": "it approved fewer rounds",
    "runs-used-up": "its approval allows no further run",
    "privacy-budget-used-up": "what it approved to be told of any one patient is used up; ask for more in another one",
    "hub-unreachable": "it reached the engine, and not the hub",
    "no-answer": "the hub gave it no answer in time",
    # Of masked rounds, told or refused.
    "out-of-turn": "its node was restarted within the masked round, so that its keys are gone",
    "masking-differs": "it was told of another masked round, model or plan than the hub has",
    "masking-unreadable": "what it told of a masked round can't be read; look for different versions of Wardround",
    "bad-signature": "keys or survivors aren't signed by the key that the ledger has of the hospital",
    "ledger-key-differs": "its key on the ledger isn't its own; ask there, and look who changed it",
    "other-survivors-before": "it helped to unmask a sum of other hospitals from the same weights before",
    "out-of-range": "a value of its update is larger than its norm and noise allow",
    "shares-unreadable": "it couldn't open a share that another hospital sealed for it",
    "too-few-sites": "fewer hospitals than a masked sum has to have were left",
    # Why an update was refused.
    "not-finite": "its update held what isn't a number, or is infinite",
    "wrong-names": "its update isn't of this model",
    "wrong-shape": "its update isn't of this model",
    "wrong-type": "its update isn't of this model",
    "wrong-size": "its update isn't of this model",
    "unreadable": "its update couldn't be read; look for different versions of Wardround",
    "too-large": "it sent more bytes than the model has",
    "too-far": "its update changes the model far more than the others' do (`largest_change` in the plan)",
    "wrong-weight": "it gave itself a weight that isn't a number above 0",
    "wrong-metrics": "it told a score that isn't a number",
    "wrong-round": "its update came too late, or is of another round",
    "duplicate": "it sent a second update in the round; the first counts",
    "not-in-round": "it sent an update unasked",
    "no-entry": "its update names no entry of the ledger",
    "unknown-entry": "its update names an entry of the ledger that isn't an update's",
    "entry-differs": "its update isn't the one that its ledger entry names",
    "no-use": "its ledger entry names no use of the cohort",
    "other-cohort": "its update was learned from another cohort than this project's",
    "internal-error": "the hub failed while it looked at the update; its log says at what",
}
"""By the reason's code, without what is in front of it."""


def code_of(reason: str) -> str:
    """A reason's code, without whether the site declined or its update was refused."""
    return reason.removeprefix(DECLINED).removeprefix(REFUSED)


def in_words(reason: str) -> str:
    """What a reason means; nothing where its code says all there is."""
    return WORDS.get(code_of(reason), "")


def explained(reasons: Iterable[str]) -> dict[str, str]:
    """Words by code, in the order of the codes, for those of these reasons whose code doesn't say all there is."""
    words = {code_of(reason): in_words(reason) for reason in reasons}
    return {code: words[code] for code in sorted(words) if words[code]}
