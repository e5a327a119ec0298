"""Who may do what: one table, and one pure function that reads it.

To add a command that writes, give it a verb here and have it call `wardround.cli.signin.acting` with that verb. A page
names the verb that it needs in its program's table of pages; those that only show something begin with `see-`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wardround.foundation.errors import NotAllowed
from wardround.people.roles import ROLES_AT, Program, Role

HUB = frozenset({Program.HUB})
NODE = frozenset({Program.NODE})
BOTH = HUB | NODE
_HOSPITAL = (Role.DATA_CONTROLLER, Role.ENGINEER, Role.RADIOLOGIST, Role.SAFETY_OFFICER, Role.PATHWAY_LEAD)


class UnknownVerb(LookupError):
    """The program asked for a verb that isn't in the table: an error in the program, never a person's."""


class MayNot(NotAllowed):
    """This person's roles don't allow it here.

    `code` is one of `not-at-this-program`, `no-role`, `other-project`, `other-site`.
    """


@dataclass(frozen=True, slots=True)
class Right:
    """Where a verb belongs, and which roles may do it; `words` say what it is to."""

    programs: frozenset[Program]
    roles: frozenset[Role]
    words: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for one project or for all (None), at one site or at all (None: at the hub alone)."""

    role: Role
    project: str | None = None
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as one program knows them at this moment. `place`: the site, or at the hub the federation."""

    name: str
    program: Program
    place: str
    grants: frozenset[Grant] = frozenset()
    session: str = field(default="", compare=False)

    @property
    def actor(self) -> str:
        """The name under which the audit knows them."""
        return f"person:{self.name}"


def _right(programs: frozenset[Program], words: str, *roles: Role) -> Right:
    return Right(programs, frozenset(roles), words)


RIGHTS: Mapping[str, Right] = {
    # At a hospital: what its data are used for.
    "approve-project": _right(NODE, "approve a project", Role.DATA_CONTROLLER),
    "refuse-project": _right(NODE, "refuse a project", Role.DATA_CONTROLLER),
    "withdraw-project": _right(NODE, "withdraw an approval", Role.DATA_CONTROLLER),
    "change-policy": _right(NODE, "change what this hospital allows", Role.DATA_CONTROLLER),
    "trust-ledger": _right(NODE, "stop or resume use of data over the ledger", Role.DATA_CONTROLLER),
    # At a hospital: single patients.
    "change-optouts": _right(NODE, "change who is kept off research", Role.DATA_CONTROLLER, Role.ENGINEER),
    "erase-person": _right(NODE, "erase a person", Role.DATA_CONTROLLER),
    "relink-person": _right(NODE, "say who is behind a pseudonym", Role.DATA_CONTROLLER),
    "purge-enclave": _right(NODE, "destroy data of the enclave", Role.DATA_CONTROLLER),
    "look-at-pixels": _right(
        NODE, "look at an image that may name its patient", Role.DATA_CONTROLLER, Role.RADIOLOGIST
    ),
    "annotate-images": _right(NODE, "draw on images of the enclave", Role.RADIOLOGIST),
    "decide-label": _right(NODE, "accept or reject a label that somebody drew", Role.RADIOLOGIST),
    "decide-review": _right(NODE, "decide about such an image", Role.DATA_CONTROLLER, Role.RADIOLOGIST),
    # At a hospital: what comes in, and its upkeep.
    "join-federation": _right(NODE, "join the federation anew", Role.ENGINEER),
    "pull-studies": _right(NODE, "pull studies from the PACS", Role.ENGINEER),
    "import-studies": _right(NODE, "import studies from folders", Role.ENGINEER),
    "load-records": _right(NODE, "load health records", Role.ENGINEER),
    "keep-enclave": _right(NODE, "remove orphans and make volumes in the enclave", Role.ENGINEER),
    "give-tokens": _right(NODE, "give and revoke tokens of viewers and senders", Role.ENGINEER),
    # At a hospital: models in use.
    "change-pathway": _right(NODE, "begin a pathway", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD, Role.ENGINEER),
    "deploy-model": _right(NODE, "take a model into use", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD),
    "make-evidence": _right(NODE, "make evidence of a model", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD, Role.ENGINEER),
    "edit-card": _right(
        BOTH, "write what a model is for", Role.RESEARCHER, Role.SAFETY_OFFICER, Role.PATHWAY_LEAD, Role.OPERATOR
    ),
    "allow-validation": _right(NODE, "let a model be judged on this hospital's own patients", Role.DATA_CONTROLLER),
    "share-evidence": _right(NODE, "tell the hub what a validation here shows", Role.DATA_CONTROLLER),
    "promote-model": _right(NODE, "agree to a model's next stage", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD),
    "suspend-model": _right(NODE, "take a model out of use", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD),
    "read-study": _right(NODE, "read a study on the worklist", Role.RADIOLOGIST),
    "examine-model": _right(NODE, "examine what a model in shadow use found", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD),
    # At a hospital: what its pages show.
    "see-today": _right(NODE, "see how this node is", *_HOSPITAL, Role.OPERATOR),
    "see-asked": _right(NODE, "see what is asked of this hospital", *_HOSPITAL),
    "see-leaving": _right(NODE, "see what left this hospital", *_HOSPITAL, Role.OPERATOR),
    "see-pulls": _right(NODE, "see what was pulled from the PACS", *_HOSPITAL, Role.OPERATOR),
    "see-annotation": _right(NODE, "see who drew what", Role.RADIOLOGIST, Role.PATHWAY_LEAD, Role.SAFETY_OFFICER),
    "see-worklist": _right(NODE, "see the worklist", Role.RADIOLOGIST, Role.PATHWAY_LEAD, Role.SAFETY_OFFICER),
    "see-enclave": _right(NODE, "see the images in the enclave", Role.DATA_CONTROLLER, Role.RADIOLOGIST),
    "see-failures": _right(
        NODE, "see pictures of whom a model failed on", Role.SAFETY_OFFICER, Role.PATHWAY_LEAD, Role.RADIOLOGIST
    ),
    "see-deployments": _right(NODE, "see the models in use here", *_HOSPITAL),
    # At the hub: what its pages show.
    "see-federation": _right(HUB, "see the hospitals of the federation", Role.RESEARCHER, Role.OPERATOR),
    "see-drafts": _right(HUB, "see the federation's projects", Role.RESEARCHER, Role.OPERATOR),
    "see-runs": _right(HUB, "see runs", Role.RESEARCHER, Role.OPERATOR),
    "see-registry": _right(HUB, "see the registered models", Role.RESEARCHER, Role.OPERATOR),
    # What both programs' pages show.
    "see-ledger": _right(BOTH, "see the ledger", *_HOSPITAL, Role.RESEARCHER, Role.OPERATOR),
    "see-people": _right(BOTH, "see who has an account", Role.OPERATOR, Role.DATA_CONTROLLER),
    "see-audit": _right(
        BOTH, "see who did what", Role.DATA_CONTROLLER, Role.ENGINEER, Role.SAFETY_OFFICER, Role.OPERATOR
    ),
    # At the hub.
    "draft-project": _right(HUB, "draft a project", Role.RESEARCHER),
    "ask-counts": _right(HUB, "ask the hospitals for counts", Role.RESEARCHER),
    "submit-project": _right(HUB, "put a project before the hospitals", Role.RESEARCHER),
    "end-project": _right(HUB, "end a project for every hospital", Role.RESEARCHER, Role.OPERATOR),
    "start-run": _right(HUB, "start a run", Role.RESEARCHER),
    "evaluate-model": _right(HUB, "have a model judged by a project's hospitals", Role.RESEARCHER),
    "audit-run": _right(HUB, "have a finished model tested", Role.RESEARCHER, Role.OPERATOR),
    "stop-run": _right(HUB, "stop a run", Role.RESEARCHER, Role.OPERATOR),
    "resume-run": _right(HUB, "resume a run that was stopped", Role.RESEARCHER, Role.OPERATOR),
    "end-run": _right(HUB, "end a run for good", Role.RESEARCHER, Role.OPERATOR),
    "invite-site": _right(HUB, "invite a hospital", Role.OPERATOR),
    "revoke-site": _right(HUB, "shut a hospital out", Role.OPERATOR),
    # What runs: at each program its own.
    "add-package": _right(BOTH, "add a model package", Role.RESEARCHER, Role.DATA_CONTROLLER),
    # Accounts, at each program its own.
    "add-person": _right(BOTH, "make an account", Role.OPERATOR),
    "remove-person": _right(BOTH, "remove an account", Role.OPERATOR),
    "reset-person": _right(BOTH, "have somebody enrol anew", Role.OPERATOR),
    "grant-role": _right(BOTH, "give a role", Role.OPERATOR),
    "revoke-role": _right(BOTH, "take a role away", Role.OPERATOR),
    "unlock-person": _right(BOTH, "end a lock-out", Role.OPERATOR, Role.ENGINEER),
    "end-sessions": _right(BOTH, "end somebody's sessions", Role.OPERATOR),
}
"""Verb to who may do it. Nothing else opens anything: what isn't here can't be done by anybody."""


def right_of(verb: str) -> Right:
    """The table's row for a verb.

    Raises:
        UnknownVerb: there is none.
    """
    try:
        return RIGHTS[verb]
    except KeyError:
        raise UnknownVerb(f"{verb!r} isn't in wardround.people.rights.RIGHTS; give it its row there") from None


def check_may(person: Person, verb: str, project: str | None = None, *, site: str | None = None) -> None:
    """Whether `person` may do `verb` where the program knows them.

    A grant for one project holds for verbs about that project alone. `site` is the site that a verb of the hub is
    about; at a node it is always the node's own, so that grants copied from elsewhere hold nothing.

    Raises:
        MayNot: with the reason, in words that may be shown to the person.
        UnknownVerb: the verb isn't in the table.
    """
    right = right_of(verb)
    if person.program not in right.programs:
        raise MayNot(f"{right.words}: that isn't done at a {person.program}", code="not-at-this-program")
    allowed = right.roles & ROLES_AT[person.program]
    held = [grant for grant in person.grants if grant.role in allowed]
    if not held:
        roles = " or ".join(sorted(role.value for role in allowed))
        raise MayNot(
            f"{person.name} may not {right.words}: that takes the role {roles}; an operator gives it", code="no-role"
        )
    place = person.place if person.program == Program.NODE else site
    here = [grant for grant in held if grant.site == place or (grant.site is None and person.program == Program.HUB)]
    if not here:
        raise MayNot(f"{person.name} may {right.words} at another site only", code="other-site")
    if not any(grant.project is None or grant.project == project for grant in here):
        raise MayNot(f"{person.name} may {right.words} for another project only", code="other-project")


def check_may_somewhere(person: Person, verb: str) -> None:
    """As `check_may`, whatever the project: for what lists projects, each of which is then asked about by itself.

    Raises:
        MayNot, UnknownVerb: see `check_may`.
    """
    projects = {grant.project for grant in person.grants} | {None}
    if not any(can_may(person, verb, project) for project in projects):
        check_may(person, verb)


def can_may(person: Person, verb: str, project: str | None = None, *, site: str | None = None) -> bool:
    """As `check_may`, for a page that shows a button or doesn't."""
    try:
        check_may(person, verb, project, site=site)
    except MayNot:
        return False
    return True


def can_may_somewhere(person: Person, verb: str) -> bool:
    """As `check_may_somewhere`, for a page that shows the way or doesn't."""
    try:
        check_may_somewhere(person, verb)
    except MayNot:
        return False
    return True
