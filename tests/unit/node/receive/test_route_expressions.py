"""What the language of rules says, and how it refuses what it doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.receive.route import Route, Routes, Rule, by_called_title
from wardround.node.receive.route_expression import AllOf, AnyOf, Comparison, ExpressionRefused, Not, parse
from wardround.node.receive.route_facts import Facts
from wardround.node.receive.route_trial import written

OBJECT = Facts(
    {
        0x00080005: (b"CS", b"ISO_IR 100"),
        0x00080008: (b"CS", b"ORIGINAL\\PRIMARY\\AXIAL "),
        0x00080020: (b"DA", b"20260131"),
        0x00080030: (b"TM", b"0930"),
        0x0008002A: (b"DT", b"20260131093000.5+0100"),
        0x00080060: (b"CS", b"MR"),
        0x0008103E: (b"LO", "T2 Schädel (neu)".encode("latin-1")),
        0x00101010: (b"AS", b"200D"),
        0x00180050: (b"DS", b" 1.50"),
        0x00180081: (b"DS", b""),
        0x00200013: (b"IS", b"nine"),
        0x00280010: (b"US", (512).to_bytes(2, "little")),
        0x00280030: (b"DS", b"0.5\\0.75"),
        0x00280011: (b"UN", (256).to_bytes(2, "little")),
    },
    called_title=" RESEARCH ",
    calling_title="CT1",
)


def holds(text: str) -> bool:
    return parse(text).holds(OBJECT)


@pytest.mark.parametrize(
    "text",
    [
        'Modality == "MR"',
        "Modality == 'MR'",
        'Modality != "CT"',
        'Modality in ("CT", "MR",)',
        'Modality not in ("CT", "US")',
        'called_title == "RESEARCH" and calling_title like "ct?"',
        'ImageType == "PRIMARY"',
        'ImageType in ("AXIAL", "LOCALIZER")',
        'not ImageType == "LOCALIZER"',
        'ImageType != "LOCALIZER"',
        'SeriesDescription like "t2*(NEU)"',
        'SeriesDescription matches "t2 sch[ä-ü]del .*"',
        "Rows == 512 and Rows >= 512 and Rows <= 512 and Rows > 511.5 and not Rows < 512",
        "Columns == 256",
        "SliceThickness == 1.5 and SliceThickness > -2",
        "PixelSpacing > 0.7 and PixelSpacing < 0.6",
        "PixelSpacing == 0.75",
        'StudyDate >= "20260131" and StudyDate < "20260201"',
        'StudyTime >= "09" and StudyTime < "093000.5" and StudyTime <= "093000"',
        'AcquisitionDateTime > "20260131093000" and AcquisitionDateTime < "2027"',
        'PatientAge < "018Y" and PatientAge > "006M" and PatientAge < "007M" and PatientAge < "029W"',
        "present(Modality)",
        "not present(PatientID)",
    ],
)
def test_what_holds(text: str) -> None:
    assert holds(text)
    assert holds(f"not not ({text})")
    assert not holds(f"not ({text})")


@pytest.mark.parametrize(
    "text",
    [
        'Modality == "mr"',
        'ImageType != "PRIMARY"',
        'ImageType not in ("AXIAL", "X")',
        'SeriesDescription like "T2"',
        'SeriesDescription matches "T2"',
        'Modality == "M"',
        "PixelSpacing > 0.75",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize("name", ["ReconstructionDiameter", "EchoTime", "InstanceNumber"])
@pytest.mark.parametrize("beside", ["== 1", "!= 1", "in (1, 2)", "not in (1, 2)", "< 1", "<= 1", "> 1", ">= 1"])
def test_what_is_absent_empty_or_unreadable_compares_false(name: str, beside: str) -> None:
    assert not holds(f"{name} {beside}")
    assert holds(f"not {name} {beside}")
    assert not holds(f"present({name})")


def test_what_is_absent_is_like_nothing() -> None:
    assert not holds('PatientID like "*"')
    assert not holds('PatientID matches ".*"')
    assert not holds('PatientID != "x"')


def test_not_is_stronger_than_and_which_is_stronger_than_or() -> None:
    a, b, c = Comparison("Modality", "present"), Comparison("Rows", "present"), Comparison("Columns", "present")
    plain = "present(Modality) or present(Rows) and not present(Columns)"
    assert parse(plain) == AnyOf((a, AllOf((b, Not(c)))))
    assert parse("(present(Modality) or present(Rows)) and present(Columns)") == AllOf((AnyOf((a, b)), c))
    assert parse("not present(Modality) and present(Rows)") == AllOf((Not(a), b))


def test_a_date_that_is_none_has_no_place_in_an_order() -> None:
    for sent in (b"2026.01.31", b"20261331", b"20260", b"UNKNOWN"):
        facts = Facts({0x00080020: (b"DA", sent)})
        assert not parse('StudyDate > "19000101"').holds(facts)
        assert not parse('StudyDate < "29991231"').holds(facts)
        assert parse("present(StudyDate)").holds(facts)


@pytest.mark.parametrize("sent", [b"nan", b"inf", b"1_0", b"1e400", b"0x1"])
def test_what_only_looks_like_a_number_is_unreadable(sent: bytes) -> None:
    facts = Facts({0x00180050: (b"DS", sent)})
    assert not parse("SliceThickness >= 0 or SliceThickness < 0 or SliceThickness != 0").holds(facts)


def test_texts_of_other_alphabets_are_read_by_their_character_set() -> None:
    facts = Facts(
        {
            0x00080005: (b"CS", b"ISO 2022 IR 6\\ISO 2022 IR 87"),
            0x0008103E: (b"LO", "頭部".encode("iso2022_jp")),
        }
    )
    assert facts.values("SeriesDescription") == ("頭部",)
    assert parse('SeriesDescription matches "[一-龠]+"').holds(facts)


def test_a_character_set_that_nobody_knows_stops_nothing() -> None:
    with pytest.warns(UserWarning):
        facts = Facts({0x00080005: (b"CS", b"KLINGON"), 0x0008103E: (b"LO", b"\xe4\xff")})
        assert parse("present(SeriesDescription)").holds(facts)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        ("", "begins with an attribute", 1),
        ("Modalty == 'MR'", "Modalty is no DICOM keyword", 1),
        ("modality == 'MR'", "did you mean Modality?", 1),
        ("__import__('os')", "is no DICOM keyword", 1),
        ("TransferSyntaxUID == '1.2'", "no part of the data set", 1),
        ("PixelData == 'x'", "holds nothing to compare", 1),
        ("SmallestImagePixelValue > 3", "holds nothing to compare", 1),
        ("RequestAttributesSequence == 'x'", "holds nothing to compare", 1),
        ("Modality", "stands alone", 9),
        ("Modality = 'MR'", "= can't be read here", 10),
        ("Modality == MR", "write a text in quotes", 13),
        ("Modality == 'MR", "close the quotes", 13),
        ("Modality == 5", 'holds text, 5 is none; write "5"', 13),
        ("Rows == '5'", "write a number without quotes", 9),
        ("Rows like '5*'", "compare them by == or <", 11),
        ("Modality > 'A'", "has no order", 10),
        ("called_title < 'A'", "has no order", 14),
        ("StudyDate > '2026-01-31'", 'is written as "20260131"', 13),
        ("PatientAge < '18'", 'is written as "018Y"', 14),
        ("StudyTime < '25'", 'is written as "093000"', 13),
        ("AcquisitionDateTime < '20261'", 'is written as "20260131093000"', 23),
        ("Modality in 'MR'", "( is missing before the list", 13),
        ("Modality not 'MR'", "in is missing after not", 14),
        ("(Modality == 'MR'", ") is missing", 18),
        ("Modality == 'MR')", ") isn't expected here", 17),
        ("Modality == 'MR' Rows == 1", "join conditions by and, or", 18),
        ("not and", "begins with an attribute, not with and", 5),
        ("Modality matches '(a'", "no closing one", 18),
        ("Modality matches '\\D'", "isn't known here", 18),
        ("Rows == " + "9" * 400, "too large", 9),
        ("not " * 60 + "present(Rows)", "nested more than", 165),
        ("(" * 1999, "nested more than", 42),
        ("present(Rows) or " * 200, "at most 2000 characters", 2000),
    ],
)
def test_what_is_no_expression_is_told_with_the_place(text: str, what: str, at: int) -> None:
    with pytest.raises(ExpressionRefused) as refused:
        parse(text)
    assert what in str(refused.value)
    assert refused.value.at == at


NAMES = ["Modality", "Rows", "StudyDate", "called_title", "and", "or", "not", "in", "like", "matches", "present"]
SIGNS = ["(", ")", ",", "==", "!=", "<", "<=", "'MR'", '"a*"', "5", "-1.5", "'\\'", '"']
WORDS = st.sampled_from([*NAMES, *SIGNS])


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=12).map(" ".join)))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionRefused as refused:
        assert 1 <= refused.at <= len(text) + 1
    else:
        assert tree.holds(OBJECT) in (True, False)
        assert parse(written(tree)) == tree


TEXTS = st.text(max_size=6).filter(lambda text: not text.endswith("\\") and "\\" not in text)
LEAVES = st.one_of(
    st.builds(lambda text: Comparison("Modality", "==", (text,)), TEXTS),
    st.builds(lambda texts: Comparison("ImageType", "not in", tuple(texts)), st.lists(TEXTS, min_size=1, max_size=3)),
    st.builds(
        lambda sign, number: Comparison("Rows", sign, (number,)),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.just(Comparison("PatientID", "present")),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: AllOf(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda parts: AnyOf(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


@given(TREES)
def test_a_tree_that_is_written_parses_to_itself(tree: AllOf | AnyOf | Not | Comparison) -> None:
    text = written(tree)
    if len(text) <= 2000:
        assert parse(text) == tree


@given(st.binary(max_size=24), st.binary(max_size=24), st.sampled_from([b"LO", b"PN", b"DS", b"US", b"UN", b"FD"]))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_bytes_of_a_sender_stop_a_comparison(charset: bytes, value: bytes, representation: bytes) -> None:
    facts = Facts(
        {
            0x00080005: (b"CS", charset),
            0x0008103E: (representation, value),
            0x00280010: (representation, value),
            0x00180050: (representation, value),
            0x00101010: (representation, value),
        }
    )
    for text in ("Rows > 1", "SliceThickness <= 2", 'PatientAge < "018Y"', 'SeriesDescription like "*a*"'):
        assert parse(text).holds(facts) in (True, False)


def test_the_rules_that_a_title_may_reach_are_all_but_those_that_ask_for_another() -> None:
    built_in = by_called_title({"RESEARCH": Route.RESEARCH, "CLINIC": Route.CLINIC})
    assert [rule.route for rule in built_in.reached_by("CLINIC ")] == [Route.CLINIC]
    assert built_in.reached_by("ELSEWHERE") == ()
    by_modality = Rule("mr", parse('Modality == "MR" and called_title == "RESEARCH"'), Route.CLINIC, "pathway:mr")
    rest = Rule("rest", None, Route.RESEARCH, "research")
    assert Routes((by_modality, rest), "a file").reached_by("CLINIC") == (by_modality, rest), "none is left out wrongly"
