"""The node's worklist of readings, as `node.toml` says."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from wardround.foundation.clock import Clock
from wardround.node.deidentify.secret import site_secret
from wardround.node.home import NodeHome
from wardround.node.receive.arrival import KeyMaker
from wardround.node.workitems.desk import WorkitemDesk
from wardround.node.workitems.service import WorklistService
from wardround.node.workitems.telling import WorkitemView


def worklist_at(home: NodeHome, clock: Clock) -> WorklistService:
    keys = KeyMaker(site_secret(home.identity / "pseudonyms.key", home.database))
    keep = timedelta(days=home.settings.clinic.keep_days)
    return WorklistService(
        WorkitemDesk(home.database, home.clinical, partial(keys.key, "study"), clock),
        WorkitemView(home.database, home.clinical, home.path / "results", keep, home.site, clock),
    )
