"""The whole journey, step by step, as the people at hub and hospitals would do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.data_use import DataUse
from wardround.contracts.disclosure import Count
from wardround.contracts.lawful_basis import LawfulBasis
from wardround.contracts.project import Project, ProjectPerson
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves
from wardround.demo.federation import PACS_TITLE, PATIENCE, DemoFailed, DemoFederation
from wardround.demo.pacs import push
from wardround.demo.patients import DemoHospital, DemoPatient, StudyInstances, clinic_patient, mr_slices, to_dicom
from wardround.demo.screen import Screen
from wardround.demo.story import Story
from wardround.demo.watch import RunWatch
from wardround.demo.wishes import PACKAGE, PROJECT, Wishes
from wardround.dicom.network import send
from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import read_volume
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed
from wardround.hub.home import HubHome
from wardround.hub.projects import actions as projects
from wardround.hub.projects import queries as project_queries
from wardround.hub.registry.queries import models
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries as run_queries
from wardround.hub.runs.starting import begin as begin_at_hub
from wardround.hub.runs.states import RunState
from wardround.learning.bundle import bundle_digest, packaged
from wardround.learning.metrics import dice
from wardround.ledger.log import Log
from wardround.ledger.verification import verify
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import WorklistLine
from wardround.node.clinic.template import begin
from wardround.node.desk import Desk
from wardround.node.projects.approval import approve, refuse
from wardround.node.projects.queries import projects as projects_at_node
from wardround.node.receive.summary import intake_summary

RESEARCHER = "person:researcher"
CONTROLLER = "person:data-controller"
SAFETY_OFFICER = "person:safety-officer"
PATHWAYS = Path(__file__).parent / "pathways"


def await_project(federation: DemoFederation, desk: Desk, project: str, *, within: float = PATIENCE) -> None:
    """Wait until a hospital has been told of the project."""

    def arrived() -> bool:
        with desk.home.database.reading() as session:
            return any(row.id == project for row in projects_at_node(session))

    federation.wait_for("putting the project before the hospitals", arrived, within=within)


def begin_run(hub: HubHome, project: Project) -> str:
    """Begin a run of an approved project, as its researcher; returns its name."""
    return begin_at_hub(hub, project.id, actor=RESEARCHER, at=now()).id


class Journey:
    """Plays the nine steps on a `DemoFederation`. Each step may be called by itself, in order, by a test."""

    def __init__(self, wishes: Wishes, federation: DemoFederation, hospitals: list[DemoHospital], screen: Screen):
        self.wishes = wishes
        self.federation = federation
        self.hospitals = hospitals
        self.screen = screen
        self.story = Story()
        # Where most patients are, the one kept for the clinic is missed least.
        self.clinic = max(hospitals, key=lambda hospital: len(hospital.keys))

    def play(self) -> Story:
        self.begin()
        self.fill()
        self.agree()
        self.train()
        self.deploy()
        self.read_a_new_study()
        self.verify_ledger()
        return self.story

    # Steps in their order

    def begin(self) -> None:
        """Hub, PACS and nodes up; every site joined over mutual TLS."""
        self.screen.step(1, "A hub, and a node and a PACS for each hospital")
        federation = self.federation
        federation.found()
        total = len(self.hospitals)
        for done, hospital in enumerate(self.hospitals):
            self.screen.progress(done, total, f"{hospital.name} joins")
            federation.start_pacs(hospital.code)
            federation.join(hospital.code)
            federation.serve(hospital.code)
        for hospital in self.hospitals:
            federation.await_ready(hospital.code)
        self.screen.progress(total, total, "all are connected by mutual TLS 1.3")

    def fill(self) -> None:
        """Each PACS sends its studies; each node de-identifies them into its enclave."""
        self.screen.step(2, "Each PACS sends its studies; each node de-identifies them")
        total = sum(len(self.research_keys(hospital)) for hospital in self.hospitals)
        done = 0

        def tell(_studies: int, _instances: int) -> None:
            nonlocal done
            done += 1
            self.screen.progress(done, total, f"{done} of {total} studies sent")

        def send_all(hospital: DemoHospital) -> Counter[str]:
            pushed = push(self._studies(hospital), self.federation.research_peer(hospital.code), progress=tell)
            return Counter(f"{hospital.code}: {refused.text}" for refused in pushed.refused)

        with ThreadPoolExecutor(len(self.hospitals)) as pool:
            refused = sum(pool.map(send_all, self.hospitals), Counter[str]())
        if refused:
            told = "; ".join(f"{count} at {reason}" for reason, count in refused.items())
            raise DemoFailed(f"not every instance was taken by its node: {told}")
        for hospital in self.hospitals:
            self._wait_for_intake(hospital.code)
        self.screen.progress(total, total, "all de-identified; nothing is left in quarantine")

    def agree(self) -> None:
        """A project: drafted, counted, submitted, and approved by each hospital on its own node."""
        self.screen.step(3, "A researcher asks, each hospital's data controller decides")
        federation, hub = self.federation, self._hub
        project = self.project()
        with hub.database.writing() as session:
            projects.draft(session, project, actor=RESEARCHER, at=now())
            projects.ask_counts(session, project.id, actor=RESEARCHER, at=now())
        federation.wait_for("counting", lambda: len(self._counts(project)) == len(self.hospitals), within=PATIENCE)
        self.story.counts = self._counts(project)
        told = ", ".join(f"{site} {count.in_words()}" for site, count in sorted(self.story.counts.items()))
        self.screen.say(f"{project.cohort.in_words()}: {told}")
        with hub.database.writing() as session:
            projects.submit(session, project.id, actor=RESEARCHER, at=now())
        digest = project.content_digest()
        for hospital in self.hospitals:
            desk = federation.desks[hospital.code]
            await_project(federation, desk, project.id)
            try:
                approve(desk, project.id, digest, actor=CONTROLLER)
            except NotAllowed as error:
                self.screen.say(f"{hospital.name} refuses: {error}")
                refuse(desk, project.id, digest, "not-suitable-here", actor=CONTROLLER)
        federation.wait_for("hearing the decisions", lambda: self._decisions() == len(self.hospitals), within=PATIENCE)
        self.screen.progress(1, 1, f"approved by {self._approvals()} hospitals, signed on their own nodes")

    def train(self) -> None:
        """The federated run, then each site alone for the same steps, then every model judged everywhere."""
        self.screen.step(4, "Training together over NVIDIA FLARE, then each alone for comparison")
        self.start_run()
        self.await_run()

    def start_run(self) -> str:
        self.story.run = begin_run(self._hub, self.project())
        return self.story.run

    def await_run(self, *, within: float = 6 * 3600) -> None:
        """Watch the run to its end.

        Raises:
            DemoFailed: it failed, with its reason.
        """
        watch = RunWatch(self._hub.database, self.story.run, self.screen)
        self.federation.wait_for("the run", watch.over, within=within, every=0.2)
        with self._hub.database.reading() as session:
            run = run_queries.row_of(session, self.story.run)
            if run.state != RunState.FINISHED or run.model is None:
                raise DemoFailed(f"the run ended as {run.state}: {run.reason}")
            self.story.model = run.model
            self.story.weights = session.get_one(ModelRow, run.model).weights

    def deploy(self) -> None:
        """The model registered, then in shadow use at the first hospital."""
        self.screen.step(5, "The model is registered, and goes into shadow use at one hospital")
        site = self.clinic.code
        self.story.clinic_site = site
        desk = self.federation.desks[site]
        with self._hub.database.reading() as session:
            entry = next(row.entry for row in models(session) if row.digest == self.story.model)
        self.federation.wait_for("mirroring the ledger", lambda: desk.mirror.state().verified > entry, within=PATIENCE)
        begin(desk.deployments.definitions, PACKAGE, "glioma-demo", self.story.model, templates=Definitions(PATHWAYS))
        desk.deployments.deploy(self.story.model, PACKAGE, actor=SAFETY_OFFICER)
        self.federation.wait_for("making the model ready to read", lambda: self._ready(desk), within=PATIENCE)
        self.screen.progress(1, 1, f"model {self.story.model[:12]} in shadow use at {self.clinic.name}")

    @staticmethod
    def _ready(desk: Desk) -> bool:
        with desk.home.database.reading() as session:
            return all(row.ready_at is not None for row in active(session))

    def read_a_new_study(self) -> None:
        """A study that took no part in training arrives; the result goes back to the PACS.

        There it is apart from what the ward sees, under the title of those who examine models in shadow use.
        """
        self.screen.step(6, "A new study arrives; the model reads it; the result goes back to the PACS")
        site, patient = self.story.clinic_site, clinic_patient(self.clinic)
        report = send(mr_slices(patient), self.federation.clinic_peer(site), PACS_TITLE)
        if not report.complete:
            raise DemoFailed("the node didn't take the new study")
        self.federation.wait_for("reading the new study", lambda: self._delivered() is not None, within=PATIENCE)
        line = self._delivered()
        if line is None or line.delivered_at is None or line.result_uid is None:
            raise DemoFailed(f"the new study was not read: {line.reason if line else 'no line'}")
        self.story.clinic_seconds = (line.delivered_at - line.arrived_at).total_seconds()
        self.story.clinic_uid = line.result_uid
        self.story.clinic_dice = self._dice_in_pacs(site, line.result_uid, patient)
        self.screen.progress(
            1, 1, f"{line.finding}; in the PACS, for those who examine it, after {self.story.clinic_seconds:.1f} s"
        )

    def verify_ledger(self) -> None:
        """Hub and every hospital check the whole ledger, each from its own disk."""
        self.screen.step(7, "Everyone verifies the ledger")
        hub = self._hub
        log = Log(hub.ledger_origin, hub.ledger_key)

        def settled() -> bool:
            with hub.database.reading() as session:
                size = log.size(session)
                if len(log.cosigned(session, size)) < len(self.hospitals):
                    return False
            return all(desk.mirror.settled() == size for desk in self.federation.desks.values())

        self.federation.wait_for("cosigning the last checkpoint", settled, within=PATIENCE)
        with hub.database.reading() as session:
            self.story.verified["hub"] = verify(session, log.verifier)
        for site, desk in self.federation.desks.items():
            with desk.home.database.reading() as session:
                self.story.verified[site] = verify(session, desk.hub)
        size = self.story.verified["hub"].entries
        self.screen.progress(1, 1, f"{size} entries, cosigned by {len(self.hospitals)} hospitals")

    # What the steps stand on

    def project(self) -> Project:
        """What the researcher asks, exactly as each data controller reads it."""
        package = packaged(PACKAGE)
        sites = len(self.hospitals)
        plan = RunPlan(
            package=PACKAGE,
            package_digest=bundle_digest(package),
            setting=self.wishes.setting,
            rounds=self.wishes.rounds_planned,
            target=self.wishes.target,
            local_steps=self.wishes.local_steps,
            quorum=sites // 2 + 1,
            deadline_seconds=900,
            seed=self.wishes.seed,
        )
        return Project(
            id=PROJECT,
            title="Outlining gliomas on FLAIR",
            purpose="Train one model that outlines gliomas on FLAIR series, and compare it with training alone",
            researcher="A. Researcher",
            people=(ProjectPerson(name="A. Radiologist", part="clinician"),),
            lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
            data_use=(
                DataUse(code="DUO:0000007", detail="MONDO:0021042"),
                DataUse(code="DUO:0000021"),
                DataUse(code="DUO:0000046"),
            ),
            cohort=patients.with_(imaging(modality="MR", has_label=True)).question(),
            plan=plan,
            leaves=usual_leaves(plan, sites),
            ends=now().date() + timedelta(days=30),
        )

    @property
    def _hub(self) -> HubHome:
        if self.federation.hub is None:
            raise DemoFailed("the hub isn't there yet")
        return self.federation.hub

    def research_keys(self, hospital: DemoHospital) -> list[str]:
        """The hospital's patients, but for the one that is kept for the clinic at one hospital."""
        kept = hospital.clinic_key if hospital is self.clinic else None
        return [key for key in hospital.keys if key != kept]

    def _studies(self, hospital: DemoHospital) -> Iterator[StudyInstances]:
        for key in self.research_keys(hospital):
            yield to_dicom(hospital.patient(key))

    def _wait_for_intake(self, site: str) -> None:
        database = self.federation.desks[site].home.database

        def done() -> bool:
            summary = intake_summary(database)
            return summary.open_studies == 0 and summary.waiting == 0

        self.federation.wait_for(f"de-identifying at {site}", done, within=PATIENCE)

    def _counts(self, project: Project) -> dict[str, Count]:
        with self._hub.database.reading() as session:
            return project_queries.counts(session, project)

    def _decisions(self) -> int:
        with self._hub.database.reading() as session:
            return len(project_queries.decisions(session, PROJECT))

    def _approvals(self) -> int:
        with self._hub.database.reading() as session:
            return len(project_queries.approving_sites(session, PROJECT, now().date()))

    def _delivered(self) -> WorklistLine | None:
        """The new study's line once there is nothing more to wait for."""
        with self.federation.desks[self.story.clinic_site].home.database.reading() as session:
            line = session.scalars(select(WorklistLine).order_by(WorklistLine.id.desc())).first()
        over = (ReadingState.DELIVERED, ReadingState.FAILED)
        return line if line is not None and line.state in over else None

    def _dice_in_pacs(self, site: str, uid: str, patient: DemoPatient) -> float:
        """How well the result, as the PACS has it, agrees with what was drawn."""
        volume = read_volume(mr_slices(patient))
        found = read_segmentation(self.federation.pacs_apart(site) / f"{uid}.dcm", volume)
        return dice(found, patient.mask)
