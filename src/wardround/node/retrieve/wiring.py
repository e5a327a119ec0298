"""A puller made of a home's settings."""

from __future__ import annotations

from datetime import timedelta

from wardround.dicom.network import Landing, Peer
from wardround.dicom.network_query import QueryRoot
from wardround.foundation.clock import Clock
from wardround.node.home import NodeHome
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.route import StudyPath
from wardround.node.retrieve.hours import Hours
from wardround.node.retrieve.pace import Pace
from wardround.node.retrieve.pacs import Pacs
from wardround.node.retrieve.puller import Puller
from wardround.node.retrieve.sealing import Sealing
from wardround.node.wire import client_tls


def sealing_at(home: NodeHome) -> Sealing:
    """What seals the asks of this home's pulls."""
    return Sealing(home.identity / "pulls.key")


def puller_at(home: NodeHome, secret: bytes, landing: Landing, clock: Clock) -> Puller:
    """The puller of this home.

    Args:
        secret: the site's, which the front door's keys are made of.
        landing: the front door, for studies that come by C-GET.

    Raises:
        SettingsRefused: the TLS files under `[retrieve]` can't be used.
    """
    settings, dicom = home.settings.retrieve, home.settings.dicom
    return Puller(
        home.database,
        sealing_at(home),
        KeyMaker(secret),
        pacs_at(home, landing),
        {StudyPath.RESEARCH.value: dicom.ae_title, StudyPath.CLINIC.value: dicom.clinic_ae_title},
        Pace(
            hours=Hours.parse(settings.hours, settings.time_zone),
            studies_per_hour=settings.studies_per_hour,
            concurrent=settings.concurrent,
            attempts=settings.attempts,
            backoff=timedelta(seconds=settings.backoff_seconds),
            wait=timedelta(minutes=settings.wait_minutes),
        ),
        clock,
    )


def pacs_at(home: NodeHome, landing: Landing) -> Pacs | None:
    """The PACS that is asked, as `[retrieve]` and `[pacs]` say; None where no PACS is set."""
    settings = home.settings.retrieve
    asked = settings.pacs or home.settings.pacs
    if asked is None:
        return None
    return Pacs(
        Peer(asked.host, asked.port, asked.ae_title),
        home.settings.dicom.ae_title,
        QueryRoot(settings.root),
        client_tls(settings, "retrieve"),
        landing if settings.method == "get" else None,
    )
