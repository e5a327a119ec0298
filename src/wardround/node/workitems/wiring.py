"""The node's worklist of readings, as `node.toml` says."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from wardround.foundation.clock import Clock
from wardround.node.deidentify.secret import site_secret
from wardround.node.home import NodeHome
from wardround.node.receive.arrival import KeyMaker
from wardround.node.workitems.desk import WorkitemDesk
from wardround.node.workitems.opening import Opening
from wardround.node.workitems.service import WorklistService
from wardround.node.workitems.subscribing import SubscriberService
from wardround.node.workitems.subscriptions import Subscriptions
from wardround.node.workitems.telling import WorkitemView


def worklist_at(home: NodeHome, clock: Clock) -> WorklistService:
    keys = KeyMaker(site_secret(home.identity / "pseudonyms.key", home.database))
    view, subscriptions = _told_at(home, clock)
    desk = WorkitemDesk(home.database, home.clinical, partial(keys.key, "study"), subscriptions, clock)
    return WorklistService(desk, view, SubscriberService(subscriptions))


def opening_at(home: NodeHome, clock: Clock) -> Opening:
    return Opening(home.database, _told_at(home, clock)[1], clock)


def _told_at(home: NodeHome, clock: Clock) -> tuple[WorkitemView, Subscriptions]:
    keep = timedelta(days=home.settings.clinic.keep_days)
    view = WorkitemView(home.database, home.clinical, home.path / "results", keep, home.site, clock)
    return view, Subscriptions(home.database, view, keep, clock)
