"""Counts the people whom a question finds, and those of them who are in the secret third."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.task import Axis
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.answering import Found
from wardround.node.cohort.noise import PersonWords
from wardround.node.enclave.enclave import Enclave


@dataclass(frozen=True, slots=True)
class EnclaveCounting:
    """Over the images in the enclave alone."""

    enclave: Enclave
    words: PersonWords

    def __call__(self, question: CohortQuestion, by: tuple[Axis, ...]) -> Found:
        if by:
            raise NotAllowed("this node has no breakdowns", code="no-breakdowns-here")
        return Found(self.words.tally(case.pseudonym for case in self.enclave.find(question)))
