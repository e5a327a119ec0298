"""HL7 v2 over MLLP, from a sender's socket into the records of a running node."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.intake_lab import HEAD, until
from tests.tls_lab import Authority

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.settings import SettingsRefused
from wardround.node.home import NodeHome
from wardround.node.records.history import past_loads
from wardround.node.records.hl7.er7 import parse
from wardround.node.records.mllp.framing import framed
from wardround.node.records.mllp.service import messages_folder
from wardround.node.records.mllp.spool import Spool
from wardround.node.records.reasons import Reason
from wardround.node.records.service import HealthRecords
from wardround.node.records.wiring import leaving_at, records_at

ROOT = Path(__file__).parents[2]
SECRET = "ZQX4711"
PID = f"PID|1||{SECRET}^^^TRUST^MR||Doe^{SECRET}||19610504|F"
PV1 = "PV1|1|I|W1||||||||||||||||V77^^^TRUST" + "|" * 25 + "20210102083000"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def message(kind: str, control: str, *segments: str) -> bytes:
    header = rf"MSH|^~\&|LAB|TRUST|WR|TRUST|20210102||{kind}|{control}|P|2.5.1"
    return ("\r".join([header, *segments]) + "\r").encode()


ADMITTED = message("ADT^A01", "M1", PID, PV1, "DG1|1||S72.0^Fracture^I10||20210103|F")


def result(control: str, value: str, day: str = "20210104") -> bytes:
    order = f"OBR|1||F99^LAB|24320-4^Panel^LN|||{day}"
    return message("ORU^R01", control, PID, order, f"OBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|3.9-5.8|||N|F|||{day}")


class Sender:
    """A hospital system's end of one connection."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="127.0.0.1")

    def send(self, said: bytes) -> str:
        """The acknowledgement."""
        self.socket.sendall(framed(said))
        answer = b""
        while not answer.endswith(b"\x1c\r"):
            piece = self.socket.recv(4096)
            assert piece, "the connection ended before the answer"
            answer += piece
        return answer.strip(b"\x0b\x1c\r").decode()

    def close(self) -> None:
        self.socket.close()


def home_with(folder: Path, lines: str = "") -> NodeHome:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "identity").mkdir(exist_ok=True)
    (folder / "node.toml").write_text(f"{HEAD}[records.mllp]\nenabled = true\nport = 0\n{lines}\n")
    home = NodeHome(folder)
    home.database.upgrade()
    return home


@contextmanager
def serving(folder: Path, lines: str = "") -> Iterator[tuple[HealthRecords, NodeHome]]:
    home = home_with(folder, lines)
    part = HealthRecords(home, lambda: NOW)
    part.start()
    try:
        yield part, home
    finally:
        part.stop()
        home.close()


def found(home: NodeHome, sql: str) -> list[tuple[Any, ...]]:
    with records_at(home).writing() as connection:
        return connection.rows(sql)


def measured(home: NodeHome) -> list[float]:
    return sorted(value for (value,) in found(home, "SELECT value_as_number FROM measurement"))


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Where a node's home is made."""
    return tmp_path / "node"


def test_an_admission_and_a_result_reach_the_records(node: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serving(node) as (part, home):
        assert part.mllp is not None
        sender = Sender(part.mllp.port)
        assert "MSA|AA|M1" in sender.send(ADMITTED)
        assert "MSA|AA|M2" in sender.send(result("M2", "6.4"))
        assert "MSA|AA|M3" in sender.send(result("M3", "7.1")), "a correction"
        until(lambda: measured(home) == [7.1])
        assert "MSA|AR|M4" in sender.send(message("ADT^A40", "M4", PID)), "a merge isn't taken"
        assert "MSA|AA|M5" in sender.send(result("M5", "9.9", "29991231")), "taken, though it can't be true"
        sender.close()
        until(lambda: rejected(home) == {Reason.FUTURE_DATE: 1})
        joined = found(
            home,
            "SELECT v.visit_concept_id, c.condition_source_value, m.measurement_source_value FROM person p "
            "JOIN visit_occurrence v ON v.person_id = p.person_id JOIN measurement m ON m.person_id = p.person_id "
            "JOIN condition_occurrence c ON c.visit_occurrence_id = v.visit_occurrence_id",
        )
        assert joined == [(9201, "ICD10:S72.0", "LOINC:2345-7")]
        assert measured(home) == [7.1]
        assert not list((node / "omop" / "hl7").glob("*.hl7")), "what is loaded is not kept as it came"
    assert SECRET not in caplog.text


def rejected(home: NodeHome) -> dict[Reason, int]:
    with records_at(home).writing() as connection:
        past = past_loads(connection, 5)
    assert len(past) <= 1, "a day's messages are told together"
    return {reason: one.count for each in past for reason, one in each.report.rejected.items()}


def test_over_tls_a_sender_shows_a_certificate(node: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki", "trust")
    ours, theirs = authority.issue("node"), authority.issue("laboratory")
    files = f'tls_certificate = "{ours.certificate}"\ntls_key = "{ours.key}"\ntls_trusted = "{ours.trusted}"'
    with serving(node, files) as (part, home):
        assert part.mllp is not None
        context = ssl.create_default_context(cafile=str(authority.root))
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            Sender(part.mllp.port, context).send(ADMITTED)
        with pytest.raises((OSError, AssertionError)):
            Sender(part.mllp.port).send(ADMITTED)
        context.load_cert_chain(theirs.certificate, theirs.key)
        sender = Sender(part.mllp.port, context)
        assert "MSA|AA|M2" in sender.send(result("M2", "6.4"))
        sender.close()
        until(lambda: measured(home) == [6.4])
        assert found(home, "SELECT count(*) FROM visit_occurrence") == [(0,)]


def test_what_was_acknowledged_is_loaded_though_the_node_is_killed_before(node: Path) -> None:
    """kill -9 between the acknowledgement and the load; the next start loads it, once."""
    home_with(node).close()
    command = [sys.executable, "-m", "tests.integration.mllp_child", str(node)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        sender = Sender(int(process.stdout.readline()))
        assert "MSA|AA" in sender.send(ADMITTED)
        assert process.stdout.readline().strip() == "loading"
        assert "MSA|AA" in sender.send(result("M2", "6.4"))
        assert "MSA|AA" in sender.send(result("M3", "7.1"))
        process.kill()
        sender.close()
    with serving(node) as (part, home):
        until(lambda: measured(home) == [7.1])
        assert found(home, "SELECT count(*) FROM condition_occurrence") == [(1,)]
        assert part.mllp is not None
        sender = Sender(part.mllp.port)
        assert "MSA|AA" in sender.send(result("M2", "6.4")), "sent again, since no answer came"
        assert "MSA|AA" in sender.send(result("M4", "8.0"))
        sender.close()
        until(lambda: 8.0 in measured(home))
        assert measured(home) == [8.0], "what comes twice takes no later correction back"


def test_a_load_that_was_applied_and_not_forgotten_is_applied_again_harmlessly(node: Path) -> None:
    home = home_with(node)
    part = HealthRecords(home, lambda: NOW)
    assert part.mllp is not None
    part.mllp.acceptance.answer(ADMITTED)
    part.mllp.acceptance.answer(result("M2", "6.4"))
    [loading] = part.mllp._loop._ticks
    kept = {file: file.read_bytes() for file in (node / "omop" / "hl7").glob("*.hl7")}
    loading()
    before = found(home, "SELECT * FROM measurement")
    for file, raw in kept.items():
        file.write_bytes(raw)
    loading()
    assert found(home, "SELECT * FROM measurement") == before
    part._department.close()
    home.close()


def test_an_erasure_reaches_messages_that_wait(node: Path) -> None:
    home = home_with(node, 'mapping = "hl7.toml"')
    (node / "hl7.toml").write_text('[identifiers]\n"TRUST" = "RBH"\n')
    spool = Spool(messages_folder(home))
    for raw in (ADMITTED, result("M2", "6.4"), ADMITTED.replace(SECRET.encode(), b"OTHER")):
        spool.put(raw, parse(raw))
    secret = bytes(range(32))
    leaving = leaving_at(home, secret)
    pseudonym = PseudonymKeys(secret).patient(SECRET, "RBH")
    assert leaving.kept([pseudonym]) == 2
    leaving.forget([pseudonym])
    [left] = spool.waiting()
    assert b"OTHER" in left.read_bytes()
    home.close()


def test_files_that_cannot_be_used_are_named_before_it_listens(node: Path) -> None:
    files = 'tls_certificate = "none.crt"\ntls_key = "none.key"\ntls_trusted = "none.pem"'
    home = home_with(node, files)
    with pytest.raises(SettingsRefused, match=r"\[records\.mllp\]"):
        HealthRecords(home, lambda: NOW)
    home.close()
