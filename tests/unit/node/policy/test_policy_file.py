"""policy.toml: closed and typed, with a message that names file, key and mend; gone or wrong, it allows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from sqlalchemy import select
from tests.node_home import node_home
from tests.unit.node.policy.policy_strategies import documents, policy_of

from wardround.foundation.settings import SettingsRefused
from wardround.node.app import build
from wardround.node.audit import Audit
from wardround.node.home import NodeHome
from wardround.node.policy.adoption import PolicyWatch, adopt, adopted, replace
from wardround.node.policy.file import PolicyFile, PolicyUnusable, read_policy
from wardround.node.policy.kinds import LIMITABLE
from wardround.node.policy.rules import Policy
from wardround.node.policy.template import TEXT
from wardround.node.policy.words import differences, rules_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    """A home of an earlier version: it has never had a policy."""
    with node_home(tmp_path) as made:
        yield made


def audited(home: NodeHome) -> list[tuple[str, str, str]]:
    """Actor, verb and digest of each row about the policy."""
    with home.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.verb.like("%policy%")).order_by(Audit.id))
        return [(row.actor, row.verb, row.detail.split(" ")[0]) for row in rows]


def start(home: NodeHome) -> Policy:
    return adopt(home.policy, home.database, home.site, lambda: NOON)


def test_what_joining_writes_is_what_holds_without_a_file_and_explains_every_key(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(TEXT)
    assert read_policy(file) == Policy()
    uncommented = re.sub(r"^# (\[|[a-z_0-9]+ = )", r"\1", TEXT, flags=re.MULTILINE)
    file.write_text(uncommented)
    shown = read_policy(file)
    assert set(rules_of(shown)) >= set(rules_of(Policy()))
    for key in rules_of(Policy()):
        assert re.search(rf"^(# )?{key.rsplit('.', 1)[1]} = ", TEXT, re.MULTILINE), key
    for kind in LIMITABLE:
        assert f'"{kind}"' in TEXT


BAD = {
    "[leavin]": "unknown key 'leavin'; did you mean 'leaving'?",
    "[projects]\nmost_round = 3": "unknown key 'projects.most_round'; did you mean 'most_rounds'?",
    "[leaving.kind.run-update]\nlargest_byte = 1": "did you mean 'largest_bytes'? known here: bytes_per_day",
    '[leaving]\nkinds = ["run-updates"]': "did you mean 'run-update'? correct it",
    '[leaving]\nkinds = ["task-poll"]': "'task-poll' can't be limited",
    "[leaving.kind.mirror-request]\nlargest_bytes = 1": "'mirror-request' can't be limited",
    "[leaving.kind.engine-traffic]\nlargest_bytes = 1": "limit its bytes_per_hour instead",
    '[cohort]\nsmallest_told = "10"': "'cohort.smallest_told' is '10': input should be a valid integer",
    "[cohort]\nsmallest_told = 9": "greater than or equal to 10",
    "[projects]\ncompare_alone = 1": "'projects.compare_alone' is 1: input should be a valid boolean",
    "[projects]\nmost_runs = 1.5": "'projects.most_runs' is 1.5: ",
    '[projects]\ndata_uses = ["DUO:0000099"]': "'projects.data_uses.0' is 'DUO:0000099'",
    '[projects]\npackage_digests = ["abc"]': "'projects.package_digests.0' is 'abc'",
    "[projects]\npackages = 'brain'": "'projects.packages' is 'brain'",
    '[work]\nhours = "8-12"': "'work': '8-12' is no span of hours; write it as 20:00-06:00",
    '[work]\ntime_zone = "London"': "'London' is no known time zone; write it as Europe/London",
    "[privacy]\nleast_noise = nan": "finite number",
    "work = 3": "'work' is 3: input should be an object",
    "[work]\nhours =": "not valid TOML",
    "[work]\nnice = 3\nnice = 4": "not valid TOML",
    "#" * 1_100_000: "larger than 1,048,576 bytes",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=[text[:30] for text in BAD])
def test_a_typo_names_file_key_and_mend_and_the_node_doesnt_start(home: NodeHome, text: str, said: str) -> None:
    start(home)
    home.policy_file.write_text(text)
    with pytest.raises(SettingsRefused, match=f"^{re.escape(str(home.policy_file))}: ") as refused:
        build(home)
    assert said in str(refused.value)
    assert str(refused.value).count("\n") == 0
    with pytest.raises(PolicyUnusable, match="nothing is allowed here until it is mended") as unusable:
        NodeHome(home.path).policy.current()
    assert unusable.value.code == "policy-unusable"


def test_a_file_that_isnt_text_is_refused(home: NodeHome) -> None:
    home.policy_file.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(SettingsRefused, match="not valid TOML"):
        build(home)


def test_a_home_that_never_had_a_policy_is_given_the_first_when_it_starts(home: NodeHome) -> None:
    assert home.policy.current() == Policy()
    assert start(home) == Policy()
    assert home.policy_file.read_text() == TEXT
    [(actor, verb, digest)] = audited(home)
    assert (verb, digest) == ("change-policy", Policy().digest())
    assert actor.startswith("os:")


def test_a_policy_that_is_gone_is_an_error_not_the_default(home: NodeHome) -> None:
    start(home)
    home.policy_file.unlink()
    with pytest.raises(SettingsRefused, match=r"policy.toml: there is no such policy; put it back from a backup"):
        build(home)
    assert not home.policy_file.exists()
    with pytest.raises(PolicyUnusable):
        NodeHome(home.path).policy.current()  # another process, which never saw it


def test_a_change_holds_at_once_and_a_mistake_stops_everything_until_it_is_mended(home: NodeHome) -> None:
    start(home)
    file = PolicyFile(home.policy_file, lambda: True)
    assert file.current().projects.most_runs == 100
    home.policy_file.write_text("projects.most_runs = 3")
    assert file.current().projects.most_runs == 3
    home.policy_file.write_text("projects.most_run = 2")
    for _ in range(2):
        with pytest.raises(PolicyUnusable, match="unknown key"):
            file.current()
    home.policy_file.unlink()
    with pytest.raises(PolicyUnusable, match="no such policy"):
        file.current()
    home.policy_file.write_text("projects.most_runs = 1")
    assert file.current().projects.most_runs == 1


def test_an_unchanged_file_is_read_once(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    start(home)
    file = PolicyFile(home.policy_file, lambda: True)
    first = file.current()
    monkeypatch.setattr("wardround.node.policy.file.read_policy", lambda _path: pytest.fail("read again"))
    assert file.current() is first


def test_each_change_is_on_the_audit_once_with_all_its_rules(home: NodeHome) -> None:
    start(home)
    watch = PolicyWatch(home.policy, home.database, home.site, lambda: NOON)
    watch.tick()
    home.policy_file.write_text("projects.most_runs = 3")
    watch.tick()
    watch.tick()
    home.policy_file.write_text("# only a comment more\nprojects.most_runs = 3")
    watch.tick()
    home.policy_file.write_text("projects.most_run = 3")
    watch.tick()
    watch.tick()
    home.policy_file.write_text("projects.most_runs = 3")
    watch.tick()
    replace(home.policy, Policy(), TEXT.encode(), home.database, site="north", actor="person:bob", clock=lambda: NOON)
    watch.tick()
    three = policy_of({"projects": {"most_runs": 3}}).digest()
    owner = f"os:{home.policy_file.owner()}"
    assert audited(home) == [
        (owner, "change-policy", Policy().digest()),
        (owner, "change-policy", three),
        ("program", "policy-unusable", ""),
        ("person:bob", "change-policy", Policy().digest()),
    ]
    with home.database.reading() as session:
        assert adopted(session) == Policy().digest()
        detail = session.scalars(select(Audit.detail).where(Audit.detail.like(f"{three}%"))).one()
    assert Policy.model_validate_json(detail.split(" ", 1)[1]).projects.most_runs == 3


@given(documents(), documents())
def test_the_digest_and_the_words_tell_two_policies_apart(one: dict[str, object], other: dict[str, object]) -> None:
    before, after = policy_of(one), policy_of(other)
    changed = list(differences(before, after))
    assert (before.digest() == after.digest()) == (before == after)
    assert not changed or before != after
    if not changed:
        assert rules_of(before) == rules_of(after)
