"""The annotation of a node without images, in a process of its own: `_annotation_ours.py FOLDER THREADS`.

Tells its address and the session of somebody who signed in, as one line of JSON, and ends with its input. The weights
of the click network lie in FOLDER already, where training leaves them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx

from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.foundation.web_server import WebServer
from wardround.node import audit
from wardround.node.annotate.desk import AnnotationDesk
from wardround.node.annotate.server import annotation_app
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.settings import AnnotationSettings
from wardround.people import accounts
from wardround.people.grants import scoped
from wardround.people.roles import Program, Role
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings

PASSWORD = "fjord gnome quilt"  # noqa: S105 - of an account that lives for this run
WEIGHTS = Path("annotation", "training", "clicks.safetensors")


def main(folder: Path, threads: int) -> None:
    database = Database(f"sqlite:///{folder / 'node.db'}", migrations="wardround.node.migrations")
    database.upgrade()
    people = PeopleSettings(second_factor="optional")
    roster = Roster(database, Program.NODE, "north", folder / "people.key", audit.record, people)
    for name, role in (("boss", Role.OPERATOR), ("reader", Role.RADIOLOGIST)):
        code, _ = accounts.add(roster, name, "", [scoped(roster, role, None)], actor="os:bench")
        accounts.enrol(roster, name, code, PASSWORD, "", source="bench")
    objects = ObjectStore(folder / "objects")
    settings = AnnotationSettings(threads=threads)
    desk = AnnotationDesk(database, objects, roster, folder / "annotation", settings, folder.joinpath)
    app = annotation_app(desk, Catalogue(database, objects), None, now)  # type: ignore[arg-type]  # stores nothing
    server = WebServer(app, "annotation", host="127.0.0.1", port=0)
    desk.start()
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/monailabel"
        signed = httpx.post(f"{url}/auth/token", data={"username": "reader", "password": PASSWORD}, timeout=60)
        line = json.dumps({"url": url, "token": signed.json()["access_token"]})
        os.write(sys.stdout.fileno(), f"{line}\n".encode())
        sys.stdin.read()
    finally:
        server.stop()
        desk.stop()
        database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
