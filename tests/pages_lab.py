"""Pages of a hospital's node and of a hub with something to show, people of every role, and their telephones."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from sqlalchemy import select
from tests.front_door import SECRET, FrontDoor, edited, studies
from tests.unit.hub.runs.run_lab import project
from tests.unit.people.people_lab import CHEAP, GOOD

from wardround.contracts import ledger_entry
from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.ledger_entry import HUB, Entry, Evidence, Member, Model
from wardround.contracts.validation import JudgedCase, ValidationPlan
from wardround.dicom.pixels_screening import Screener
from wardround.dicom.pixels_text import TextReader
from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.foundation.signing import make_signing_key
from wardround.foundation.web_server import WebServer
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.pages.table import TEMPLATES as HUB_TEMPLATES
from wardround.hub.pages.table import pages as hub_pages
from wardround.hub.projects import actions as projects
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs.starting import Beginnings
from wardround.hub.runs.tables import RoundRow, RoundSiteRow, RunRow
from wardround.hub.settings import HubSettings
from wardround.hub.sites.tables import Site
from wardround.learning.archive import pack
from wardround.learning.bundle import bundle_digest, packaged
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.cosignature import cosign
from wardround.ledger.envelope import sign_entry
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Signer
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.desk import Desk
from wardround.node.evidence.sealed_picture import PictureSeal
from wardround.node.evidence.tables import ValidationCase, ValidationRow
from wardround.node.gateway.tables import Egress
from wardround.node.home import NodeHome
from wardround.node.membership.tables import Membership
from wardround.node.pages.table import TEMPLATES as NODE_TEMPLATES
from wardround.node.pages.table import pages as node_pages
from wardround.node.policy.adoption import adopt
from wardround.node.projects import actions
from wardround.node.receive.route import StudyPath
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.retrieve.actions import order
from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.tables import PullItem
from wardround.node.retrieve.wiring import sealing_at
from wardround.node.review.tables import PixelReview
from wardround.people import accounts, totp
from wardround.people.cookie import cookie_name
from wardround.people.grants import scoped
from wardround.people.password import Passwords
from wardround.people.roles import ROLES_AT, Program, Role
from wardround.people.roster import Roster
from wardround.people.sign_in import sign_in
from wardround.ui.application import Faces

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n[annotation]\nenabled = true\n'
ASKED = project().model_copy(update={"ends": now().date() + timedelta(days=400)})
_FORM = re.compile(r'name="form" value="([0-9a-f]*)"')


class Clock:
    """Stands still until it is moved; a code of a telephone is good once, so each sign-in moves it."""

    def __init__(self) -> None:
        self.at = now()

    def __call__(self) -> datetime:
        return self.at

    def next_code(self) -> None:
        self.at += timedelta(seconds=totp.STEP_SECONDS)


class People:
    """Somebody of each role of a program, by the role's name, with a password and a telephone."""

    def __init__(
        self, database: Database, program: Program, place: str, key: Path, record: object, clock: Clock
    ) -> None:
        self.clock = clock
        self.roster = Roster(
            database,
            program,
            place,
            key,
            record,
            clock=clock,
            passwords=lambda: Passwords(CHEAP),  # type: ignore[arg-type]
        ).upgraded()
        self.secrets: dict[str, str] = {}
        for role in sorted(ROLES_AT[program], key=lambda role: role is not Role.OPERATOR):
            self.add(role.value, role)
        self.add("all", *ROLES_AT[program])

    def add(self, name: str, *roles: Role, project: str | None = None) -> None:
        given = [scoped(self.roster, role, project) for role in roles]
        code, _ = accounts.add(self.roster, name, name.title(), given, actor="os:test")
        self.secrets[name] = accounts.offer_codes(self.roster, name, code, source="test").secret
        accounts.enrol(self.roster, name, code, GOOD, self.code(name), source="test")
        self.clock.next_code()

    def code(self, name: str) -> str:
        return totp.code_of(self.secrets[name], totp.step_at(self.clock()))

    def token(self, name: str) -> str:
        signed = sign_in(self.roster, name, GOOD, self.code(name), source="test")
        self.clock.next_code()
        return signed.token


class Face:
    """One program's pages on a port of this machine, as a browser would call them."""

    def __init__(self, faces: Faces, people: People) -> None:
        self.faces, self.people = faces, people
        self._server = WebServer(faces.application(), "pages", host="127.0.0.1", port=0)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._tokens: dict[str, str] = {}
        self._clients: list[httpx.Client] = []

    def browser(self, name: str = "") -> httpx.Client:
        """Signed in as `name`, or as nobody."""
        cookies = {}
        if name:
            self._tokens[name] = self._tokens.get(name) or self.people.token(name)
            roster = self.people.roster
            cookies = {cookie_name(roster.program, roster.place, secure=False): self._tokens[name]}
        self._clients.append(httpx.Client(base_url=self.url, cookies=cookies, timeout=60))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._server.stop()


def form_of(page: httpx.Response) -> str:
    """The token that a page's forms carry."""
    found = _FORM.search(page.text)
    return "" if found is None else found[1]


def send(browser: httpx.Client, where: str, **typed: str) -> httpx.Response:
    """Send a form, by whoever is signed in."""
    return browser.post(where, data={"form": form_of(browser.get("/account")), **typed})


def words_of(page: httpx.Response) -> str:
    """What a person reads of a page."""
    text = re.sub(r"<(script|style|svg).*?</\1>", " ", page.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


FAILED = "fa" * 32
"""The plan by which `NodeLab.seed` has a model judged."""


class NodeLab:
    """A hospital with two patients for research, and a project put before it. `settings`: more of `[annotation]`."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        from wardround.node.audit import record

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "node.toml").write_text(NODE + settings)
        (folder / "identity").mkdir()
        (folder / "identity" / "pseudonyms.key").write_bytes(SECRET)
        make_signing_key(folder / "identity" / "ledger.key")
        self._stack = ExitStack()
        self.door = door = FrontDoor(folder, screener=Screener(reader=TextReader(program="no-such-program-here")))
        self._stack.callback(door.close)
        for study in studies(2):
            door.give_study(study)
        door.tick()
        self.clock = Clock()
        self.home = NodeHome(folder)
        self.desk = Desk(self.home, clock=self.clock)
        self._stack.callback(self.desk.close)
        self.desk.freezing.quick = 120.0  # a busy machine may take its time over two patients
        adopt(self.home.policy, self.home.database, self.home.site, self.clock)
        hub = Signer("wardround/trial", SignatureType.NOTE, self.home.ledger_key)
        with self.home.database.writing() as session:
            session.add(
                Membership(
                    id=1,
                    site="north",
                    federation="trial",
                    joined_at=self.clock(),
                    root_fingerprint="0" * 64,
                    hub_ledger_verifier=str(hub.verifier),
                    certificate_until=self.clock() + timedelta(days=1),
                )
            )
            actions.consider(session, ASKED, at=self.clock())
        people = People(
            self.home.database, Program.NODE, "north", folder / "identity" / "people.key", record, self.clock
        )
        self.face = Face(Faces(people.roster, node_pages(self.desk), NODE_TEMPLATES, secure=False), people)

    def seed(self) -> None:
        """What a hospital has after some weeks: messages that left, a model in shadow use, studies on the worklist, two
        images of which screening isn't sure, a pull that goes on, and a model that was judged."""
        self.doubt(2)
        self.failed()
        self.pull("A1", "A2", "A3", "A4", became={"A1": ("done", ""), "A2": ("absent", "not-in-the-pacs")})
        at, model = self.clock(), "5f" * 32
        configs = self.home.path / "models" / model / "configs"
        configs.mkdir(parents=True)
        (configs / "metadata.json").write_text("{}")
        kinds = (("engine-traffic", None, 4_812_300), ("run-update", "glioma", 4_812_000), ("task-poll", None, 912))
        with self.home.database.writing() as session:
            for row in session.scalars(select(ReceivedInstance)):
                row.received_at = at - timedelta(hours=row.id * 1.7 % 23)
            for number in range(40):
                kind, project, size = kinds[number % 3]
                session.add(
                    Egress(
                        at=at - timedelta(days=80 - 2 * number),
                        kind=kind,
                        project=project,
                        run="glioma-1" if project else None,
                        size=size * (1 + number % 5),
                        digest=f"{number:064x}",
                        outcome="sent",
                        ended_at=at - timedelta(days=80 - 2 * number) if number < 39 else at,
                    )
                )
            deployment = Deployment(
                model=model,
                package="brain-mri-glioma",
                pathway="brain-mri-glioma",
                stage="shadow",
                active=True,
                deployed_by="person:safety-officer",
                deployed_at=at - timedelta(days=20),
            )
            session.add(deployment)
            session.flush()
            for number in range(6):
                read = number > 1
                session.add(
                    WorklistLine(
                        study=f"{number:02x}" * 16,
                        version=1,
                        deployment=deployment.id,
                        state="kept" if read else "waiting",
                        finding=f"lesion, {number * 2.1:.1f} ml" if read else "",
                        volume_ml=number * 2.1 if read else None,
                        value=number * 2.1 if read else None,
                        flagged=read,
                        read_as="shadow" if read else "",
                        contrast=0.4 if read else None,
                        arrived_at=at - timedelta(minutes=17 * (6 - number)),
                        read_at=at - timedelta(minutes=2) if read else None,
                        priority="emergency" if number == 3 else "routine",
                    )
                )

    def pull(self, *accessions: str, became: dict[str, tuple[str, str]]) -> int:
        """Order studies of the PACS, of which these have come to that state, for that reason; the pull's number."""
        asks = [Ask(accession=one) for one in accessions]
        number = order(
            self.home.database,
            sealing_at(self.home),
            asks,
            StudyPath.RESEARCH,
            actor="person:engineer",
            clock=self.clock,
        )
        with self.home.database.writing() as session:
            for item in session.scalars(select(PullItem).where(PullItem.job_id == number)):
                if accessions[item.line - 1] in became:
                    item.state, item.reason = became[accessions[item.line - 1]]
                    item.expected = item.arrived = 5 if item.state == "done" else 0
        return number

    def failed(self) -> None:
        """Have a model judged on two patients: it missed one's lesion, and outlined the other's badly."""
        asked = ValidationPlan(
            model="5f" * 32,
            package="brain-mri-glioma",
            cohort=patients.with_(imaging(modality="MR")).question(),
            threshold=0.5,
        )
        drawn = io.BytesIO()
        Image.linear_gradient("L").save(drawn, "PNG")
        cases = (JudgedCase(score=0.1, positive=True, dice=0), JudgedCase(score=9.4, positive=True, dice=0.31))
        with self.home.database.writing() as session:
            row = ValidationRow(
                digest=FAILED,
                model=asked.model,
                document=asked.model_dump_json().encode(),
                planned_by="person:safety-officer",
                planned_at=self.clock(),
                done_at=self.clock(),
            )
            session.add(row)
            session.flush()
            for number, case in enumerate(cases):
                kept = ValidationCase(
                    validation=row.id,
                    patient=f"P{number}",
                    study=f"2.25.{number}",
                    name=f"WP-{number}",
                    case=json.dumps({"series": f"2.25.{number}.1"}),
                    outcome=case.model_dump_json().encode(),
                )
                session.add(kept)
                session.flush()
                kept.picture = PictureSeal(self.desk.pseudonyms).seal(drawn.getvalue(), kept.id)

    def doubt(self, images: int) -> None:
        """Have images come that say that something is burned in, and something be found in each."""
        for slice_ in studies(3)[2].slices[:images]:
            self.door.give(edited(slice_, BurnedInAnnotation="YES"))
        self.door.tick()
        with self.home.database.writing() as session:
            for row in session.scalars(select(PixelReview)):
                row.found = [[2, 3, 4, 9, None]]

    def close(self) -> None:
        self.face.close()
        self._stack.close()


class HubLab:
    """A hub that was just founded."""

    def __init__(self, folder: Path) -> None:
        from wardround.hub.audit import record

        self.home: HubHome = make_hub_home(folder, HubSettings(federation="trial", host="127.0.0.1"))
        self.clock = Clock()
        people = People(
            self.home.database, Program.HUB, "trial", folder / "identity" / "people.key", record, self.clock
        )
        self.beginnings = Beginnings(self.home)
        table = hub_pages(self.home, self.beginnings)
        self.face = Face(Faces(people.roster, table, HUB_TEMPLATES, secure=False), people)

    def seed(self) -> None:
        """Four hospitals, one of which is silent, a run of six rounds that one of them missed twice, and a ledger."""
        at, names = self.clock(), ("east", "north", "south", "west")
        model = self.register("glioma-1")

        def said(name: str) -> Sequence[Entry]:
            about = {"origin": name, "at": at, "model": model, "pathway": "brain-mri-glioma"}
            known = Evidence(**about, stage="offline", record="c" * 64)
            return (known, ledger_entry.Deployment(**about, stage="shadow")) if name in ("east", "north") else ()

        self.settle(*names, said=said)
        with self.home.database.writing() as session:
            for place, name in enumerate(names):
                session.add(
                    Site(
                        name=name,
                        state="member",
                        invited_at=at,
                        version="0.1.0",
                        heard_at=at - timedelta(seconds=3 if place < 3 else 5000),
                        certificate_until=at + timedelta(hours=20),
                    )
                )
            projects.draft(session, ASKED.model_copy(update={"id": "stroke"}), actor="person:researcher", at=at)
            projects.draft(session, ASKED, actor="person:researcher", at=at)
            projects.submit(session, ASKED.id, actor="person:researcher", at=at)
            run = RunRow(
                id="glioma-1",
                project=ASKED.id,
                project_digest=ASKED.content_digest(),
                plan=ASKED.plan.model_copy(update={"rounds": 8}).canonical(),
                state="stopped",
                reason="stopped by a person",
                round=6,
                current="a" * 64,
                best_round=6,
                best_score=0.78,
                engine="flare",
                engine_version="2.9.0",
                started_by="person:researcher",
                started_at=at - timedelta(minutes=9),
                state_since=at,
            )
            session.add(run)
            session.flush()
            for number in range(1, 7):
                score = 0.8 - 0.6 / number
                session.add(
                    RoundRow(
                        run=run.id, number=number, leg=1, aggregate="a" * 64, seconds=14.2, score=score, committed_at=at
                    )
                )
                for place, name in enumerate(names):
                    missing = name == "west" and number in (2, 3)
                    session.add(
                        RoundSiteRow(
                            run=run.id,
                            round=number,
                            site=name,
                            state="missing" if missing else "taken",
                            reason="deadline" if missing else "",
                            weight=10.0,
                            score=None if missing else score + 0.03 * place - 0.05,
                            bytes_up=4_800_000,
                            bytes_down=4_800_000,
                        )
                    )

    def settle(self, *names: str, said: Callable[[str], Sequence[Entry]] = lambda name: ()) -> None:
        """Have these hospitals join the ledger, say something each and, but for the last, cosign all of it."""
        at, log = self.clock(), Log(self.home.ledger_origin, self.home.ledger_key)
        witnesses = [Signer(name, SignatureType.COSIGNATURE, Ed25519PrivateKey.generate()) for name in names]
        with self.home.database.writing() as session:
            for witness in witnesses:
                key = b64encode(witness.key.public_key().public_bytes_raw()).decode()
                vkey = str(witness.verifier)
                log.record(session, Member(origin=HUB, at=at, site=witness.name, entry_key=key, witness=vkey))
            for witness in witnesses:
                for entry in said(witness.name):
                    log.append(session, sign_entry(entry, witness.key, self.home.ledger_origin))
            note = log.checkpoint(session, at)
            assert note is not None
            checkpoint = open_checkpoint(note, log.verifier)
            for witness in witnesses[:-1]:
                log.add_cosignature(session, checkpoint.size, cosign(checkpoint, witness, at))

    def register(self, run: str) -> str:
        """Register the package itself as the model of a run, as if it had been trained; its digest."""
        at, log = self.clock(), Log(self.home.ledger_origin, self.home.ledger_key)
        folder, metrics = (
            packaged(ASKED.plan.package),
            {"north": {"dice": 0.81, "local_dice": 0.74}, "east": {"dice": 0.78}},
        )
        digest = bundle_digest(folder)
        with self.home.database.writing() as session:
            model = Model(origin=HUB, at=at, digest=digest, run=run, best_round=6, metrics=metrics)
            session.add(
                ModelRow(
                    digest=digest,
                    package=ASKED.plan.package,
                    archive=self.home.objects.put(pack(folder)),
                    weights="a" * 64,
                    run=run,
                    round=6,
                    metrics=json.dumps(metrics).encode(),
                    entry=log.record(session, model),
                    registered_at=at,
                )
            )
        return digest

    def close(self) -> None:
        self.face.close()
        self.beginnings.stop()
        self.home.close()
