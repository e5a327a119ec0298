"""Each policy that this node works under is on the audit: its digest, all its rules, and who brought it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.files import write_whole
from wardround.node import audit
from wardround.node.policy.file import PolicyFile, PolicyUnusable, read_policy
from wardround.node.policy.rules import Policy
from wardround.node.policy.template import TEXT

LOG = logging.getLogger(__name__)
VERB = "change-policy"
UNUSABLE = "policy-unusable"


def was_there(database: Database) -> bool:
    """Whether this node has worked under a policy of its own before, as its audit says."""
    with database.reading() as session:
        return _newest(session) is not None


def adopted(session: Session) -> str | None:
    """The digest of the policy that the audit knows as the newest; None before the first."""
    detail = _newest(session)
    return None if detail is None else detail.split(" ", 1)[0]


def write_first(path: Path) -> None:
    """Write the policy that every hospital begins with, unless there is one."""
    if not path.exists():
        write_whole(path, TEXT.encode(), mode=0o644)


def adopt(file: PolicyFile, database: Database, site: str, clock: Clock) -> Policy:
    """Read the policy as the node starts; a home that never had one is given the first.

    Raises:
        SettingsRefused: it is gone, or can't be used. The node mustn't start.
    """
    if not file.path.exists() and not was_there(database):
        write_first(file.path)
    policy = read_policy(file.path)
    put_on_audit(policy, database, site, actor=brought_by(file.path), clock=clock)
    return policy


def replace(
    file: PolicyFile, policy: Policy, text: bytes, database: Database, *, site: str, actor: str, clock: Clock
) -> None:
    """Put `text`, which says `policy`, into the place of the policy, in `actor`'s name."""
    with database.writing() as session:
        _record(session, policy, site, actor, clock)
        write_whole(file.path, text, mode=0o644)


def put_on_audit(policy: Policy, database: Database, site: str, *, actor: str, clock: Clock) -> bool:
    """Record the policy, unless it is the one that the audit knows as the newest; whether it was recorded."""
    with database.writing() as session:
        return _record(session, policy, site, actor, clock)


def brought_by(path: Path) -> str:
    """Whose file it is, as an actor for the audit: who edits a file by hand can't be known better."""
    try:
        return f"os:{path.owner()}"
    except (KeyError, OSError):
        return "program"


class PolicyWatch:
    """Puts a change of the file on the audit while the node runs, and says when it can't be used."""

    def __init__(self, file: PolicyFile, database: Database, site: str, clock: Clock) -> None:
        self._file = file
        self._database = database
        self._site = site
        self._clock = clock
        self._known: str | None = None

    def tick(self) -> None:
        try:
            policy = self._file.current()
        except PolicyUnusable:
            if self._known != UNUSABLE:
                self._known = UNUSABLE
                with self._database.writing() as session:
                    audit.record(session, "program", UNUSABLE, self._site, clock=self._clock)
            return
        digest = policy.digest()
        if digest != self._known:
            if put_on_audit(policy, self._database, self._site, actor=brought_by(self._file.path), clock=self._clock):
                LOG.info("the policy is now %s", digest[:16])
            self._known = digest


def _record(session: Session, policy: Policy, site: str, actor: str, clock: Clock) -> bool:
    digest = policy.digest()
    if adopted(session) == digest:
        return False
    rules = json.dumps(policy.document(), separators=(",", ":"), sort_keys=True)
    audit.record(session, actor, VERB, site, f"{digest} {rules}", clock=clock)
    return True


def _newest(session: Session) -> str | None:
    asked = select(audit.Audit.detail).where(audit.Audit.verb == VERB).order_by(audit.Audit.id.desc()).limit(1)
    return session.scalar(asked)
