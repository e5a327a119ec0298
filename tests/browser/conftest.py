"""Debian's Chromium, driven by Playwright, in front of pages on real ports. Screenshots go to `build/screenshots`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.pages_lab import Face, HubLab, NodeLab
from tests.unit.people.people_lab import GOOD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright isn't installed (make test installs it)")
    if CHROMIUM is None:
        pytest.skip("Chromium isn't installed (Debian: chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    lab = NodeLab(tmp_path_factory.mktemp("node"))
    lab.seed()
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    lab = HubLab(tmp_path_factory.mktemp("hub") / "home")
    lab.seed()
    yield lab
    lab.close()


class Seat:
    """A browser's window at which somebody has signed in by the form, as people do; `faults` are its complaints."""

    def __init__(self, browser: Browser, url: str, name: str, password: str, code: str, **window: Any) -> None:
        self.url = url
        self.context = browser.new_context(**window)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.faults: list[str] = []
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.goto(url)
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_label("Code from your telephone").fill(code)
        self.page.get_by_role("button", name="Sign in").click()

    def _failed(self, request: Request) -> None:
        """A request that the browser itself gives up as it goes on to another page is none that failed."""
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.url}: {request.failure}")

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def keep(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")  # a menu that stays in sight is then where it begins
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture
def take_seat(chromium: Browser) -> Iterator[Callable[..., Seat]]:
    """Signs somebody in at an address, by what they would type; at the end no window may have complained."""
    seats: list[Seat] = []

    def at(url: str, name: str, password: str, code: str = "", **window: Any) -> Seat:
        seats.append(Seat(chromium, url, name, password, code, **window))
        return seats[-1]

    yield at
    for seat in seats:
        seat.context.close()
    assert [fault for seat in seats for fault in seat.faults] == []


@pytest.fixture
def sit(take_seat: Callable[..., Seat]) -> Callable[..., Seat]:
    """Sits somebody of a lab down at its pages."""

    def at(face: Face, name: str, **window: Any) -> Seat:
        seat = take_seat(face.url, name, GOOD, face.people.code(name), **window)
        face.people.clock.next_code()
        return seat

    return at
