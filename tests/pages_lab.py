"""Pages of a hospital's node and of a hub with something to show, people of every role, and their telephones."""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import httpx
from tests.front_door import SECRET, FrontDoor, studies
from tests.unit.hub.runs.run_lab import project
from tests.unit.people.people_lab import CHEAP, GOOD

from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.foundation.signing import make_signing_key
from wardround.foundation.web_server import WebServer
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.pages.table import TEMPLATES as HUB_TEMPLATES
from wardround.hub.pages.table import pages as hub_pages
from wardround.hub.settings import HubSettings
from wardround.ledger.note import SignatureType, Signer
from wardround.node.desk import Desk
from wardround.node.home import NodeHome
from wardround.node.membership.tables import Membership
from wardround.node.pages.table import TEMPLATES as NODE_TEMPLATES
from wardround.node.pages.table import pages as node_pages
from wardround.node.policy.adoption import adopt
from wardround.node.projects import actions
from wardround.people import accounts, totp
from wardround.people.cookie import cookie_name
from wardround.people.grants import scoped
from wardround.people.password import Passwords
from wardround.people.roles import ROLES_AT, Program, Role
from wardround.people.roster import Roster
from wardround.people.sign_in import sign_in
from wardround.ui.application import Faces

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
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

    def add(self, name: str, role: Role, project: str | None = None) -> None:
        given = [scoped(self.roster, role, project)]
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


def words_of(page: httpx.Response) -> str:
    """What a person reads of a page."""
    text = re.sub(r"<(script|style|svg).*?</\1>", " ", page.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


class NodeLab:
    """A hospital with two patients for research, and a project put before it."""

    def __init__(self, folder: Path) -> None:
        from wardround.node.audit import record

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "node.toml").write_text(NODE)
        (folder / "identity").mkdir()
        (folder / "identity" / "pseudonyms.key").write_bytes(SECRET)
        make_signing_key(folder / "identity" / "ledger.key")
        self._stack = ExitStack()
        door = FrontDoor(folder)
        self._stack.callback(door.close)
        for study in studies(2):
            door.give_study(study)
        door.tick()
        self.clock = Clock()
        self.home = NodeHome(folder)
        self.desk = Desk(self.home, clock=self.clock)
        self._stack.callback(self.desk.close)
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
        self.face = Face(Faces(people.roster, hub_pages(self.home), HUB_TEMPLATES, secure=False), people)

    def close(self) -> None:
        self.face.close()
        self.home.close()
