"""Who may do what: no role of the hub opens anything at a node, and scopes hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.people.rights import RIGHTS, Grant, MayNot, Person, UnknownVerb, can_may, check_may
from wardround.people.roles import ROLES_AT, Program, Role

PROJECTS = st.sampled_from([None, "glioma", "stroke"])
SITES = st.sampled_from([None, "north", "south"])
GRANTS = st.frozensets(st.builds(Grant, st.sampled_from(Role), PROJECTS, SITES), max_size=8)
VERBS = st.sampled_from(sorted(RIGHTS))
NODE_ONLY = sorted(verb for verb, right in RIGHTS.items() if right.programs == {Program.NODE})


def at_node(*grants: Grant) -> Person:
    return Person("anna", Program.NODE, "north", frozenset(grants))


@given(grants=GRANTS, verb=st.sampled_from(NODE_ONLY), project=PROJECTS, site=SITES)
def test_nothing_that_the_hub_gives_does_a_nodes_verb(
    grants: frozenset[Grant], verb: str, project: str | None, site: str | None
) -> None:
    with pytest.raises(MayNot) as refusal:
        check_may(Person("mallory", Program.HUB, "trial", grants), verb, project, site=site)
    assert refusal.value.code == "not-at-this-program"


@given(grants=GRANTS, verb=VERBS, project=PROJECTS)
def test_a_nodes_verb_takes_a_role_given_for_this_very_site(
    grants: frozenset[Grant], verb: str, project: str | None
) -> None:
    """Also where a hub's or another hospital's rows were copied into this database."""
    foreign = frozenset(grant for grant in grants if grant.site != "north")
    assert not can_may(Person("anna", Program.NODE, "north", foreign), verb, project)


@given(grants=GRANTS, verb=VERBS, project=PROJECTS, site=SITES, program=st.sampled_from(Program))
def test_what_is_allowed_rests_on_one_grant_that_fits(
    grants: frozenset[Grant], verb: str, project: str | None, site: str | None, program: Program
) -> None:
    person = Person("anna", program, "north", grants)
    place = "north" if program == Program.NODE else site
    fits = [
        grant
        for grant in grants
        if grant.role in RIGHTS[verb].roles & ROLES_AT[program]
        and grant.project in (None, project)
        and (grant.site == place or (program == Program.HUB and grant.site is None))
    ]
    assert can_may(person, verb, project, site=site) == (program in RIGHTS[verb].programs and bool(fits))


def test_a_role_for_one_project_is_none_for_another_and_none_for_the_house() -> None:
    person = at_node(Grant(Role.DATA_CONTROLLER, "glioma", "north"))
    check_may(person, "approve-project", "glioma")
    for verb, project in (("approve-project", "stroke"), ("approve-project", None), ("change-optouts", None)):
        with pytest.raises(MayNot) as refusal:
            check_may(person, verb, project)
        assert refusal.value.code == "other-project"


def test_deciding_about_data_is_the_data_controllers_alone() -> None:
    """Whoever keeps the accounts or the machine doesn't thereby decide what a hospital's data are used for."""
    deciding = [verb for verb in NODE_ONLY if "project" in verb or verb in ("erase-person", "relink-person")]
    assert len(deciding) >= 5
    for role in ROLES_AT[Program.NODE] - {Role.DATA_CONTROLLER}:
        assert not any(can_may(at_node(Grant(role, None, "north")), verb, "glioma") for verb in deciding)


def test_every_verb_can_be_done_by_somebody_where_it_belongs() -> None:
    for verb, right in RIGHTS.items():
        for program in right.programs:
            assert right.roles & ROLES_AT[program], verb


@given(verb=st.text(max_size=20).filter(lambda verb: verb not in RIGHTS))
def test_a_verb_that_the_table_lacks_is_fatal(verb: str) -> None:
    person = at_node(*(Grant(role, None, "north") for role in Role))
    for ask in (check_may, can_may):
        with pytest.raises(UnknownVerb):
            ask(person, verb)
