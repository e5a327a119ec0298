"""What tells the ledger of this site's doing, put together from its home."""

from __future__ import annotations

import sys

from wardround.foundation.clock import Clock, now
from wardround.ledger.mirror import Mirror
from wardround.ledger.note import Verifier
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.membership.queries import membership
from wardround.node.policy.file import PolicyUnusable
from wardround.node.record.entries import SiteEntries
from wardround.node.record.purges import Purges


def entries_at(home: NodeHome, *, clock: Clock = now) -> SiteEntries:
    """For those who only keep entries for the running node to submit; no connection is opened.

    Raises:
        NotFound: the node hasn't joined.
    """
    with home.database.reading() as session:
        hub = Verifier.parse(membership(session).hub_ledger_verifier)
    mirror = Mirror(home.database, home.site, hub, home.ledger_key)
    return SiteEntries(home.site, home.ledger_key, hub.name, Gateway(home, clock=clock), mirror, clock=clock)


def purges_at(home: NodeHome, secret: bytes, *, clock: Clock = now) -> Purges:
    """For erasures. A policy that can't be read holds none of them up: no number of people is told then.

    Raises:
        NotFound: the node hasn't joined.
    """

    def raised() -> int:
        try:
            return home.policy.current().cohort.smallest_told
        except PolicyUnusable:
            return sys.maxsize

    discloser = Discloser(PersonWords(secret), home.settings.cohort.smallest_told, raised)
    return Purges(entries_at(home, clock=clock), discloser)
