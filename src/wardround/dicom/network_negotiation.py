"""Whether an association is accepted, and with what (PS3.8 9.3, PS3.7 Annex D)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wardround.dicom.network_classes import (
    BIG_ENDIAN,
    COMMITMENT,
    IMPLICIT,
    TRANSFER_SYNTAXES,
    UNCOMPRESSED,
    VERIFICATION,
    StorageClasses,
    well_formed,
)
from wardround.dicom.network_pdu import (
    APPLICATION_CONTEXT,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ProposedContext,
    Roles,
    associate_ac,
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is refused: the fields of an A-ASSOCIATE-RJ (PS3.8 Table 9-21), and a code to count."""

    result: int
    source: int
    reason: int
    code: str


OLD_PROTOCOL = Rejection(1, 2, 2, "refused-protocol-version")
OTHER_APPLICATION = Rejection(1, 1, 2, "refused-application-context")
CALLING_UNKNOWN = Rejection(1, 1, 3, "refused-calling-title")
CALLED_UNKNOWN = Rejection(1, 1, 7, "refused-called-title")
FULL = Rejection(2, 3, 2, "refused-full")


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """An association that may begin: its contexts by number, and the A-ASSOCIATE-AC that says so.

    ``maximum_length`` is the longest P-DATA-TF that the peer takes, 0 for no limit.
    """

    called_ae: str
    calling_ae: str
    contexts: dict[int, Context]
    maximum_length: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """What a receiver answers to: its titles, the callers that it knows (None for anyone), and its SOP classes."""

    ae_titles: frozenset[str]
    calling_titles: frozenset[str] | None
    storage: StorageClasses
    commitment: bool
    maximum_pdu: int

    def agree(self, request: AssociateRequest) -> Agreement | Rejection:
        """Accept or refuse.

        A storage class is taken in the first transfer syntax proposed that PS3.6 names, else in the first at all: the
        data set is stored as it comes, so none is unfit. User identity is never answered, which tells a requestor
        that asked for an answer that identities aren't checked here (PS3.7 D.3.3.7).
        """
        if not request.version & 1:
            return OLD_PROTOCOL
        if request.application_context != APPLICATION_CONTEXT:
            return OTHER_APPLICATION
        if request.called_ae not in self.ae_titles:
            return CALLED_UNKNOWN
        if self.calling_titles is not None and request.calling_ae not in self.calling_titles:
            return CALLING_UNKNOWN
        # We're never the user of a service here, so the requestor can't be its provider.
        roles = {
            uid: Roles(scu=wanted.scu, scp=False)
            for uid, wanted in request.roles.items()
            if self._serves(uid) and any(context.abstract_syntax == uid for context in request.contexts)
        }
        answers = [self._answer(context, roles.get(context.abstract_syntax)) for context in request.contexts]
        accepted = {
            answer.id: Context(context.abstract_syntax, answer.transfer_syntax)
            for answer, context in zip(answers, request.contexts, strict=True)
            if answer.result is ContextResult.ACCEPTED
        }
        pdu = associate_ac(request, answers, roles, self.maximum_pdu)
        return Agreement(request.called_ae, request.calling_ae, accepted, request.maximum_length, pdu)

    def _serves(self, sop_class: str) -> bool:
        if sop_class == COMMITMENT:
            return self.commitment
        return sop_class == VERIFICATION or sop_class in self.storage

    def _answer(self, context: ProposedContext, role: Roles | None) -> ContextAnswer:
        if not self._serves(context.abstract_syntax):
            return ContextAnswer(context.id, ContextResult.ABSTRACT_SYNTAX, IMPLICIT)
        if role is not None and not role.scu:
            return ContextAnswer(context.id, ContextResult.USER_REJECTION, IMPLICIT)
        if context.abstract_syntax in (VERIFICATION, COMMITMENT):
            chosen = _first(context.transfer_syntaxes, UNCOMPRESSED - {BIG_ENDIAN}, UNCOMPRESSED)
        else:
            # Big endian was retired; who proposes it beside others has the object in another one or can turn it.
            named = _first(context.transfer_syntaxes, TRANSFER_SYNTAXES - {BIG_ENDIAN}, TRANSFER_SYNTAXES)
            chosen = named or next(filter(well_formed, context.transfer_syntaxes), None)
        if chosen is None:
            return ContextAnswer(context.id, ContextResult.TRANSFER_SYNTAX, IMPLICIT)
        return ContextAnswer(context.id, ContextResult.ACCEPTED, chosen)


def _first(proposed: Iterable[str], *choices: frozenset[str]) -> str | None:
    proposed = list(proposed)
    return next((syntax for choice in choices for syntax in proposed if syntax in choice), None)
