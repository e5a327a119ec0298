"""What a command or the running node needs of a home, each part made when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from wardround.compute.worker import Worker
from wardround.contracts.cohort_query import CohortQuestion
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock, now
from wardround.foundation.files import ObjectStore
from wardround.learning.packages import Packages
from wardround.ledger.mirror import Mirror
from wardround.ledger.note import Verifier
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.deployment import Deployments
from wardround.node.cohort.census import Census
from wardround.node.cohort.counting import EnclaveCounting
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.deidentify.secret import site_secret
from wardround.node.enclave.case import CaseRef
from wardround.node.enclave.enclave import Enclave
from wardround.node.enclave.room import GIGABYTE, RoomWatch
from wardround.node.enclave.upkeep import Upkeep
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.membership.queries import membership
from wardround.node.people.roster import roster_of
from wardround.node.record.entries import SiteEntries
from wardround.node.record.purges import Purges
from wardround.node.record.wiring import purges_at
from wardround.node.records.keys import RecordKeys
from wardround.node.training.cohort import EnclavePlace
from wardround.node.training.own import OwnArrays

if TYPE_CHECKING:
    from wardround.node.annotate.desk import AnnotationDesk
    from wardround.node.projects.freezing import Freezing


class Desk:
    """What a command or the running node needs of a home, made when it is first used.

    `volumes` is the process that reads volumes for who looks at them in a page (`node.pages.volumes`).
    """

    def __init__(self, home: NodeHome, *, clock: Clock = now) -> None:
        self.home = home
        self.clock = clock
        self.volumes = Worker("the viewer")

    @cached_property
    def hub(self) -> Verifier:
        """The hub's ledger key, as it was given at joining."""
        with self.home.database.reading() as session:
            return Verifier.parse(membership(session).hub_ledger_verifier)

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self.home, clock=self.clock)

    @cached_property
    def place(self) -> EnclavePlace:
        database = self.home.settings.database or f"sqlite:///{self.home.path / 'node.db'}"
        limit = int(self.home.settings.enclave.volumes_gb * GIGABYTE)
        return EnclavePlace(database, self.home.enclave / "objects", self.home.enclave / "volumes", limit)

    @cached_property
    def enclave(self) -> Enclave:
        place = self.place
        return Enclave(
            self.home.database,
            ObjectStore(place.objects),
            volumes=place.volumes,
            volumes_limit=place.volumes_limit,
            clock=self.clock,
        )

    @cached_property
    def room(self) -> RoomWatch:
        """How much room the enclave has, for those who ask often."""
        return RoomWatch(self.home.database, self.place.objects, self.home.settings.enclave, clock=self.clock)

    @cached_property
    def upkeep(self) -> Upkeep:
        objects = ObjectStore(self.place.objects)
        return Upkeep(self.home.database, objects, self.place.volumes, self.room, self.clock)

    @cached_property
    def pseudonyms(self) -> PseudonymKeys:
        """Makes each project's own pseudonyms; the site's secret never leaves it."""
        return PseudonymKeys(self._secret)

    @cached_property
    def own(self) -> OwnArrays:
        """What this hospital keeps of runs for itself."""
        return OwnArrays(self.home.runs, self.pseudonyms)

    @cached_property
    def _secret(self) -> bytes:
        return site_secret(self.home.identity / "pseudonyms.key", self.home.database)

    @cached_property
    def discloser(self) -> Discloser:
        """Makes of people the numbers that may leave this node."""
        return Discloser(
            PersonWords(self._secret),
            self.home.settings.cohort.smallest_told,
            lambda: self.home.policy.current().cohort.smallest_told,
        )

    @cached_property
    def census(self) -> Census:
        """Counts people: over the health records where any were loaded, else over the enclave."""
        from wardround.node.records.wiring import records_at  # what keeps records is loaded where they are touched

        home = self.home
        enclave = EnclaveCounting(home.database, self.discloser.words)
        return Census(records_at(home), home.database, RecordKeys(self._secret), enclave)

    def cases(self, question: CohortQuestion) -> tuple[CaseRef, ...]:
        """The cases of the images that a question uses: which these are is said by the health records where any were
        loaded, else by the enclave.

        Raises:
            NotAllowed: the question can't be answered here, or not now; see `Census`.
        """
        used = self.census.used_series(question)
        return self.enclave.find(question) if used is None else self.enclave.cases(used)

    @cached_property
    def mirror(self) -> Mirror:
        return Mirror(self.home.database, self.home.site, self.hub, self.home.ledger_key)

    @cached_property
    def entries(self) -> SiteEntries:
        home = self.home
        return SiteEntries(home.site, home.ledger_key, self.hub.name, self.gateway, self.mirror, clock=self.clock)

    @cached_property
    def purges(self) -> Purges:
        """Keeps for the ledger what is destroyed here."""
        return purges_at(self.home, self._secret, clock=self.clock)

    @cached_property
    def deployments(self) -> Deployments:
        return Deployments(
            self.home.database,
            self.home.path / "models",
            self.entries,
            self.gateway,
            self.mirror,
            self.own,
            Packages(self.home.packages),
            Definitions(self.home.pathways),
            self.clock,
            self.home.policy.current,
        )

    @cached_property
    def freezing(self) -> Freezing:
        """Cohorts counted and frozen while whoever asked goes on."""
        from wardround.node.projects.freezing import Freezing  # it decides at this desk

        return Freezing(self)

    @cached_property
    def annotation(self) -> AnnotationDesk:
        """Drawing on images of the enclave, for pages and for clients alike."""
        from wardround.node.annotate.desk import AnnotationDesk  # what reads volumes is loaded where they are drawn on

        home = self.home
        return AnnotationDesk(
            home.database,
            ObjectStore(self.place.objects),
            roster_of(home),
            home.path / "annotation",
            home.settings.annotation,
            lambda digest: home.path / "models" / digest,
            self.clock,
            self.own,
        )

    def close(self) -> None:
        self.volumes.stop()
        if "freezing" in self.__dict__:
            self.freezing.stop()
        if "annotation" in self.__dict__:
            self.annotation.stop()
        if "gateway" in self.__dict__:
            self.gateway.close()
        self.home.close()
