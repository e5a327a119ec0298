"""A program's pages as a web application: each call passes the same steps, of which any that fails ends it.

1. The address and method have a row in the table; else not found.
2. A form came from a page of ours, as the browser says (Fetch Metadata).
3. Somebody has signed in, where the row asks for more than anybody.
4. They may do the row's verb, for the project that the address names.
5. The form, of which no byte was read before, is no larger than the row allows and carries the token of this session.
Only then is the row's function called. What it raises for people is shown as a page; of anything else nothing is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardround.foundation.errors import Conflict, NotAllowed, NotFound, WardroundError
from wardround.people.acting import acting_as
from wardround.people.cookie import attributes, cookie_name, form_token, is_form_token
from wardround.people.rights import MayNot, Person
from wardround.people.roster import Roster
from wardround.people.sessions import NotSignedIn, person_of
from wardround.ui import assets, signing
from wardround.ui.page import ANYBODY, SIGNED_IN, Moved, Page, Scope, Sent, Shown, Visit
from wardround.ui.rendering import Templates

log = logging.getLogger(__name__)

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATUS: Mapping[type[WardroundError], int] = {NotFound: 404, NotAllowed: 403, Conflict: 409}


class _Refused(Exception):
    """A call that ends here, with the page that says so."""

    def __init__(self, status: int, title: str, words: str) -> None:
        super().__init__(title)
        self.shown = Shown("refused.html", {"title": title, "words": words}, status)


class Faces:
    """The pages of one program.

    Args:
        pages: its table, without what signs people in and out, which all have.
        templates: the folder of its own templates.
        secure: whether it is served over HTTPS.
    """

    def __init__(self, roster: Roster, pages: Sequence[Page], templates: Path, *, secure: bool) -> None:
        self.pages = (*signing.pages(pages), *pages)
        self._roster = roster
        self._cookie = cookie_name(roster.program, roster.place, secure=secure)
        self._secure = secure
        self._templates = Templates(
            [templates], asset=assets.address, program=roster.program.value, place=roster.place, looks=signing.LOOKS
        )

    def application(self) -> FastAPI:
        routes = [Route("/assets/{name}", self._asset, methods=["GET"])]
        routes += [Route(page.path, self._endpoint(page), methods=[page.method]) for page in self.pages]
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=list(routes))
        app.router.redirect_slashes = False
        for status, title, words in (
            (404, "There is no such page", "Follow the menu, or go back."),
            (405, "That isn't done here", "Go back and use the form of the page."),
        ):
            app.add_exception_handler(status, self._plain(status, title, words))
        app.add_exception_handler(
            Exception, self._plain(500, "Something went wrong here", "It is in this program's log, with the time.")
        )
        return app

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            visit: Visit | None = None
            try:
                if page.method == "POST":
                    _check_ours(request)
                visit = await run_in_threadpool(self._visit, page, request)
                if page.method == "POST":
                    visit = _filled(visit, await self._form(request, page.largest))
                answer = await run_in_threadpool(page.answer, visit)
            except (NotSignedIn, _Refused, WardroundError) as refusal:
                answer = _said(page, request, refusal)
            return await run_in_threadpool(self._response, request, visit, answer)

        return answer

    def _visit(self, page: Page, request: Request) -> Visit:
        """Steps 3 and 4; the form is still empty."""
        token, roster = request.cookies.get(self._cookie, ""), self._roster
        person, actor = None, None
        if page.may == ANYBODY:
            try:
                person = person_of(roster, token) if token else None
            except NotSignedIn:
                token = ""
        elif page.may == SIGNED_IN:
            person = person_of(roster, token)
        else:
            project = request.path_params["project"] if page.scope is Scope.PROJECT else None
            actor, person = acting_as(roster, token, page.may, project, somewhere=page.scope is Scope.EACH)
        query = {name: tuple(values) for name, values in parse_qs(request.url.query).items()}
        source = f"address:{request.client.host if request.client else 'unknown'}"
        return Visit(roster, roster.clock(), source, request.path_params, query, {}, token, person, actor)

    def _response(self, request: Request, visit: Visit | None, answer: Shown | Moved | Sent) -> Response:
        if isinstance(answer, Sent):
            return self._headed(Response(answer.content, media_type=answer.kind))
        return self._move(answer) if isinstance(answer, Moved) else self._show(request, visit, answer)

    async def _form(self, request: Request, largest: int) -> dict[str, tuple[str, ...]]:
        """The form's fields."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > largest:
                raise _Refused(413, "That is too large", f"This form takes at most {largest // 1024:,} kB.")
        try:
            read = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=200)
        except ValueError:
            raise _Refused(400, "That form can't be read", "Go back and send it again.") from None
        return {name: tuple(values) for name, values in read.items()}

    def _show(self, request: Request, visit: Visit | None, shown: Shown) -> Response:
        person = visit.person if visit is not None else self._somebody(request)
        token = request.cookies.get(self._cookie, "") if person is not None else ""
        menu = [page for page in self.pages if page.place and person is not None and page.open_to(person)]
        look = request.cookies.get(signing.LOOK, "")
        around: dict[str, Any] = {
            "person": person,
            "menu": menu,
            "current": request.url.path,
            "form_token": form_token(token) if token else "",
            "look": look if look in signing.LOOKS else signing.LOOKS[0],
            "made_at": self._roster.clock(),
            "part": request.headers.get("hx-request") == "true",
        }
        html = self._templates.page(shown.template, around | dict(shown.values))
        response = Response(html, shown.status, media_type="text/html")
        return self._headed(response, shown.widened)

    def _somebody(self, request: Request) -> Person | None:
        """Who has signed in, for the frame around a page that says no."""
        try:
            return person_of(self._roster, request.cookies.get(self._cookie, ""))
        except NotSignedIn:
            return None

    def _move(self, moved: Moved) -> Response:
        response = RedirectResponse(moved.to, status_code=303)
        if moved.session:
            response.set_cookie(self._cookie, moved.session, **attributes(secure=self._secure))
        elif moved.session == "":
            response.delete_cookie(self._cookie, **attributes(secure=self._secure))
        for name, value in moved.cookies.items():
            response.set_cookie(name, value, max_age=365 * 86_400, **attributes(secure=self._secure))
        return self._headed(response)

    def _headed(self, response: Response, widened: Mapping[str, str] = {}) -> Response:
        rules = {name: " ".join([rule, widened[name]]) if name in widened else rule for name, rule in POLICY.items()}
        response.headers["Content-Security-Policy"] = "; ".join(f"{name} {rule}" for name, rule in rules.items())
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.update(HEADERS)
        return response

    async def _asset(self, request: Request) -> Response:
        found = assets.asset(request.path_params["name"])
        if found is None:
            return self._show(request, None, _refusal(404, "There is no such file", "Follow the menu, or go back."))
        keep = "max-age=31536000, immutable" if request.query_params.get("v") == found.version else "no-cache"
        return self._headed(Response(found.content, media_type=found.kind, headers={"Cache-Control": keep}))

    def _plain(self, status: int, title: str, words: str) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answer(request: Request, error: Exception) -> Response:
            if status == 500:
                log.error("a page failed: %s %s", request.method, request.url.path, exc_info=error)
            return await run_in_threadpool(self._show, request, None, _refusal(status, title, words))

        return answer


def _check_ours(request: Request) -> None:
    """Step 2."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise _Refused(403, "This form isn't ours", "It was sent from another site. Go to the page itself.")


def _filled(visit: Visit, form: Mapping[str, tuple[str, ...]]) -> Visit:
    """Step 5: the visit with its form."""
    if visit.person is not None and not is_form_token(visit.token, _one(form, "form")):
        raise _Refused(403, "This form isn't of your session", "Go back, load the page anew and send it again.")
    return replace(visit, form=form)


def _said(page: Page, request: Request, refusal: NotSignedIn | _Refused | WardroundError) -> Shown | Moved:
    """What somebody is shown of a step that failed, or of what the row's function raised for people."""
    if isinstance(refusal, _Refused):
        return refusal.shown
    if isinstance(refusal, NotSignedIn):
        if page.method == "GET":
            return Moved(f"/sign-in?next={quote(request.url.path)}")
        return _refusal(403, "Your session has ended", "Sign in again, then repeat what you were doing.")
    if isinstance(refusal, MayNot):
        return _refusal(403, "You may not do that", f"{refusal}.")
    status = next((code for kind, code in STATUS.items() if isinstance(refusal, kind)), 409)
    return _refusal(status, "That can't be done", f"{refusal}.")


def _refusal(status: int, title: str, words: str) -> Shown:
    return Shown("refused.html", {"title": title, "words": words}, status)


def _one(form: Mapping[str, tuple[str, ...]], name: str) -> str:
    return next(iter(form.get(name, ())), "")
