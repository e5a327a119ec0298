"""A federation on one machine: hub, nodes and stand-in PACS as processes of their own, all in one folder."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wardround.demo.staff import WITHOUT_TELEPHONE, take_on
from wardround.dicom.network import Peer
from wardround.foundation.clock import now
from wardround.foundation.errors import WardroundError
from wardround.foundation.processes import Program
from wardround.foundation.settings import write_toml
from wardround.foundation.silence import SILENT
from wardround.foundation.threads import ONE_EACH
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.people.roster import roster_of as people_of_hub
from wardround.hub.settings import HubSettings
from wardround.hub.sites.actions import invite
from wardround.node.desk import Desk
from wardround.node.home import NodeHome
from wardround.node.membership.actions import join
from wardround.node.people.roster import roster_of as people_of_node
from wardround.node.settings import DicomSettings, PacsSettings
from wardround.ui.settings import PagesSettings

LOOPBACK = "127.0.0.1"
PACS_TITLE = "PACS"
EXAMINERS_TITLE = "EXAMINERS"
QUIET_SECONDS = 1.0
PATIENCE = 240.0
"""Seconds after which what takes a few on a machine of its own has gone wrong on a busy one too."""
OPERATOR = "operator:demo"


class DemoFailed(WardroundError):
    """A part of the demonstration didn't do what it had to; the text says which log tells more."""

    code = "demo-failed"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind((LOOPBACK, 0))
        return [bound.getsockname()[1] for bound in sockets]


def quiet_environment() -> dict[str, str]:
    """For every process: one thread per numerical library, and nothing phones home."""
    return {**ONE_EACH, **SILENT, "PYTHONWARNINGS": "ignore"}


class DemoFederation:
    """Everything below one folder; `stop` ends every process that `start_…` began.

    Args:
        home: an empty or new folder.
        sites: site codes of the hospitals.
        name: the federation's short name.
        pages: whether hub and nodes serve their pages.
    """

    def __init__(self, home: Path, sites: Sequence[str], *, name: str = "demo", pages: bool = False) -> None:
        self.home = home
        self.sites = list(sites)
        self.name = name
        self.pages = pages
        self.programs: dict[str, Program] = {}
        self.hub: HubHome | None = None
        self.desks: dict[str, Desk] = {}
        self._pacs_ports: dict[str, int] = {}

    def found(self) -> HubHome:
        """Make the hub's home and serve it."""
        api, enrol, engine = free_ports(3)
        settings = HubSettings(
            federation=self.name, host=LOOPBACK, listen=LOOPBACK, api_port=api, enrol_port=enrol, engine_port=engine
        )
        if self.pages:
            pages = PagesSettings(enabled=True, port=free_ports(1)[0])
            settings = settings.model_copy(update={"pages": pages, "people": WITHOUT_TELEPHONE})
        self.hub = make_hub_home(self.home / "hub", settings)
        self._serve("hub", "hub", self.hub.path)
        return self.hub

    def start_pacs(self, site: str) -> None:
        """The hospital's stand-in PACS."""
        root = self.home / f"pacs-{site}"
        port_file = root / "port"
        command = ["-m", "wardround.demo.pacs", "--root", str(root), "--host", LOOPBACK]
        titles = ["--ae", PACS_TITLE, "--apart", EXAMINERS_TITLE]
        self._start(f"pacs-{site}", [*command, *titles, "--port-file", str(port_file)], root)
        self._wait(f"pacs-{site}", port_file)
        self._pacs_ports[site] = int(port_file.read_text())

    def join(self, site: str) -> Desk:
        """Invite the site and join it, with the hospital's PACS, where it has one, as where results go."""
        if self.hub is None:
            raise DemoFailed("the hub isn't there yet")
        with self.hub.database.writing() as session:
            token = invite(session, self.hub, site, actor=OPERATOR, now=now())
        path = self.home / f"node-{site}"
        dicom = DicomSettings(host=LOOPBACK, port=free_ports(1)[0], quiet_seconds=QUIET_SECONDS, receivers=1)
        pacs = None
        if site in self._pacs_ports:
            port = self._pacs_ports[site]
            pacs = PacsSettings(host=LOOPBACK, port=port, ae_title=PACS_TITLE, examiners_title=EXAMINERS_TITLE)
        join(token, path, actor=OPERATOR, dicom=dicom, pacs=pacs).close()
        if self.pages:
            more: dict[str, object] = {
                "people": WITHOUT_TELEPHONE.model_dump(mode="json"),
                "pages": {"enabled": True, "port": free_ports(1)[0]},
                "annotation": {"enabled": True, "port": free_ports(1)[0]},
            }
            with (path / "node.toml").open("a") as file:
                file.write(write_toml(more))
        self.desks[site] = Desk(NodeHome(path))
        return self.desks[site]

    def serve(self, site: str) -> None:
        """Start the site's node; `await_ready` waits for it."""
        self._serve(f"node-{site}", "node", self.home / f"node-{site}", wait=False)

    def await_ready(self, site: str) -> None:
        self._wait(f"node-{site}", self.home / f"node-{site}" / "ready")

    def research_peer(self, site: str) -> Peer:
        dicom = self.desks[site].home.settings.dicom
        return Peer(LOOPBACK, dicom.port, dicom.ae_title)

    def clinic_peer(self, site: str) -> Peer:
        dicom = self.desks[site].home.settings.dicom
        return Peer(LOOPBACK, dicom.port, dicom.clinic_ae_title)

    def pacs_incoming(self, site: str) -> Path:
        return self.home / f"pacs-{site}" / "incoming"

    def pacs_apart(self, site: str) -> Path:
        """What the PACS was sent for those who examine models."""
        return self.home / f"pacs-{site}" / "apart"

    def addresses(self) -> dict[str, str]:
        """Where each program listens, for people."""
        found = {}
        if self.hub is not None:
            found["hub"] = f"https://{LOOPBACK}:{self.hub.settings.api_port} (mutual TLS), home {self.hub.path}"
        for site, desk in self.desks.items():
            dicom = desk.home.settings.dicom
            found[f"node {site}"] = (
                f"DICOM {LOOPBACK}:{dicom.port}, {dicom.ae_title} for research, {dicom.clinic_ae_title} for the "
                f"clinic, home {desk.home.path}"
            )
        for site, port in self._pacs_ports.items():
            found[f"PACS {site}"] = f"DICOM {LOOPBACK}:{port}, {PACS_TITLE}"
        return found

    def page_addresses(self) -> dict[str, str]:
        """Where a browser finds the pages, where there are any."""
        homes = {} if self.hub is None else {"hub": self.hub.settings.pages}
        homes |= {f"hospital {site}": desk.home.settings.pages for site, desk in self.desks.items()}
        return {name: pages.address(pages.port) for name, pages in homes.items() if pages.enabled}

    def take_on_people(self, password: str) -> list[str]:
        """Somebody of each role at each program, all with that password; gives each program's names as a line."""
        lines = []
        if self.hub is not None:
            lines.append(f"at the hub: {', '.join(take_on(people_of_hub(self.hub), password))}")
        names = [take_on(people_of_node(desk.home), password) for desk in self.desks.values()]
        return [*lines, *(f"at each hospital: {', '.join(found)}" for found in names[:1])]

    def process_ids(self) -> dict[str, int]:
        """The programs that were started and not yet stopped."""
        return {name: program.pid for name, program in list(self.programs.items())}

    def check_alive(self) -> None:
        """Raises `DemoFailed` if a program ended by itself."""
        for name, program in self.programs.items():
            if program.exit_code is not None:
                raise DemoFailed(f"{name} ended by itself with status {program.exit_code}; see {program.log}")

    def wait_for(self, what: str, done: Callable[[], bool], *, within: float, every: float = 0.1) -> None:
        """Wait until `done`, while every program lives.

        Raises:
            DemoFailed: it took longer than `within` seconds, or a program ended.
        """
        deadline = time.monotonic() + within
        while not done():
            self.check_alive()
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} took longer than {within:.0f} s; the logs are below {self.home}")
            time.sleep(every)

    def stop(self) -> None:
        """End every program, nodes first; nothing is left running when this returns."""
        for desk in self.desks.values():
            desk.close()
        if self.hub is not None:
            self.hub.close()
        order = sorted(self.programs, key=lambda name: (name == "hub", name))
        programs = [self.programs.pop(name) for name in order]
        for program in programs:
            program.ask_to_stop()
        for program in programs:
            program.stop()

    def _serve(self, name: str, noun: str, home: Path, *, wait: bool = True) -> None:
        ready = home / "ready"
        ready.unlink(missing_ok=True)
        command = ["-m", "wardround", noun, "serve", "--home", str(home), "--ready-file", str(ready)]
        self._start(name, command, home / "log")
        if wait:
            self._wait(name, ready)

    def _start(self, name: str, command: Sequence[str], folder: Path) -> None:
        env: Mapping[str, str] = {**quiet_environment(), "TMPDIR": str(self._scratch(name))}
        self.programs[name] = Program(name, [sys.executable, *command], log=folder / "output.log", env=env)

    def _scratch(self, name: str) -> Path:
        scratch = self.home / "tmp" / name
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o700)
        return scratch

    def _wait(self, name: str, file: Path) -> None:
        self.wait_for(f"starting {name}", file.exists, within=PATIENCE, every=0.05)
