"""Invented people with plausible identifying headers, so that de-identification has something to remove.

No name, number or address belongs to anyone: given and family names are drawn apart from short lists, and patient
numbers lie in the 999 range that the NHS keeps for tests.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, time, timedelta

import numpy as np

_UTF_8, _LATIN_1, _LATIN_2, _GREEK, _CYRILLIC = "ISO_IR 192", "ISO_IR 100", "ISO_IR 101", "ISO_IR 126", "ISO_IR 144"

_CODECS = {
    "": "ascii",
    _UTF_8: "utf-8",
    _LATIN_1: "iso8859-1",
    _LATIN_2: "iso8859-2",
    _GREEK: "iso8859-7",
    _CYRILLIC: "iso8859-5",
}

# Family name, name of a woman, name of a man, specific character set (PS3.3 section C.12.1.1.2).
_NAMES: tuple[tuple[str, str, str, str], ...] = (
    ("Harrowgate", "Edith", "Walter", ""),
    ("Penhallow", "Morwenna", "Jago", ""),
    ("Okonkwo-Reed", "Adaeze", "Chidi", ""),
    ("Llwyd", "Siân", "Ifan", _LATIN_1),
    ("Ó Dubhshláine", "Gráinne", "Seán", _LATIN_1),
    ("Müller-Strauß", "Käthe", "Jörg", _LATIN_1),
    ("Nuñez Ibáñez", "Begoña", "Íñigo", _LATIN_1),
    ("Fröjdström", "Åsa", "Björn", _LATIN_1),
    ("Wiśniewska-Łoś", "Żaneta", "Stanisław", _LATIN_2),
    ("Dvořák", "Eliška", "Přemysl", _LATIN_2),
    ("Παπαδάκη", "Ελένη", "Νίκος", _GREEK),
    ("Соколова", "Людмила", "Аркадий", _CYRILLIC),
    ("Yamada", "Hanako=山田^花子=やまだ^はなこ", "Tarou=山田^太郎=やまだ^たろう", _UTF_8),
    ("Kim", "Yuna=金^由娜=김^유나", "Minjun=金^民俊=김^민준", _UTF_8),
    ("Al-Farouqi", "Layla=الفاروقي^ليلى", "Yusuf=الفاروقي^يوسف", _UTF_8),
    ("Roy", "Ananya=রায়^অনন্যা", "Arjun=রায়^অর্জুন", _UTF_8),
)
_STREETS = ("Tannery Row", "Chapel Lane", "Mill Bank", "Orchard Rise", "Quay Street", "Larkspur Close")
_STAFF = ("Abernethy^Rowan^^Dr", "Castellan^Imogen^^Dr", "Oyelaran^Tunde^^Dr", "Whitlow^Hester^^Prof")
_OPERATORS = ("Pickering^Dawn", "Sandhu^Gurpreet", "Marlowe^Kit", "Duarte^Ines")
_COMMENTS = (
    "Patient anxious; daughter present. Hearing aid removed.",
    "Attended from ward by chair. Lives alone at the address on file.",
    "Repeat of an earlier scan; movement on the first run.",
    "Works at the primary school; asked to be called at home.",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a demonstration patient is, and what their study says about the people and devices around them."""

    name: str
    character_set: str
    patient_id: str
    other_patient_id: str
    birth_date: date
    age: int | None
    sex: str
    address: str
    telephone: str
    accession: str
    study_id: str
    study_date: date
    study_time: time
    institution: str
    institution_address: str
    referring_physician: str
    operator: str
    comments: str
    request_text: str
    device_serial: str
    private_text: str
    uid_root: str
    nested_canary: str = ""

    def uid(self, *parts: int) -> str:
        """A UID of this patient's study: the same parts give the same UID."""
        return ".".join((self.uid_root, *(str(part) for part in parts)))

    @property
    def study_instance_uid(self) -> str:
        return self.uid(1)

    @property
    def series_instance_uid(self) -> str:
        return self.uid(1, 1)

    @property
    def segmentation_series_uid(self) -> str:
        return self.uid(1, 2)


def invent_identity(
    rng: np.random.Generator,
    *,
    institution: str,
    institution_address: str,
    device_serial: str,
    sex: str = "",
    age: int | None = None,
) -> Identity:
    """Draws one person and their study.

    sex: "F", "M", "O" or "" (not known). age: whole years at the study, None where not known.
    """
    family, woman, man, character_set = _NAMES[int(rng.integers(len(_NAMES)))]
    given = {"F": woman, "M": man}.get(sex, woman if rng.random() < 0.5 else man)
    study_date = date(2021, 1, 4) + timedelta(days=int(rng.integers(1200)))
    years = age if age is not None else int(rng.integers(25, 80))
    number = _test_number(rng)
    digits = "".join(str(digit) for digit in rng.integers(0, 10, 8))
    street = f"{int(rng.integers(1, 140))} {_STREETS[int(rng.integers(len(_STREETS)))]}"
    name = f"{family}^{given}"
    return Identity(
        name=name,
        character_set=_fitting(character_set, name, institution, institution_address),
        patient_id=number,
        other_patient_id=f"HN{digits}",
        birth_date=_birthday(study_date, years, int(rng.integers(365))),
        age=age,
        sex=sex,
        address=street,
        telephone=f"01632 96{int(rng.integers(10000)):04d}",
        accession=f"RA{int(rng.integers(10**8)):08d}",
        study_id=str(int(rng.integers(10**5))),
        study_date=study_date,
        study_time=time(int(rng.integers(8, 18)), int(rng.integers(60)), int(rng.integers(60))),
        institution=institution,
        institution_address=institution_address,
        referring_physician=_STAFF[int(rng.integers(len(_STAFF)))],
        operator=_OPERATORS[int(rng.integers(len(_OPERATORS)))],
        comments=_COMMENTS[int(rng.integers(len(_COMMENTS)))],
        request_text="New seizures. Discussed with the family by telephone.",
        device_serial=device_serial,
        private_text=f"Operator note: {street}, key under the mat",
        # A UID derived from a random 128-bit number (PS3.5 section B.2), shortened to leave room for parts.
        uid_root=f"2.25.{int(rng.integers(1 << 62))}{int(rng.integers(1 << 40))}",
    )


def _fitting(character_set: str, *texts: str) -> str:
    """The character set where it holds all the texts, else UTF-8."""
    try:
        for text in texts:
            text.encode(_CODECS[character_set])
    except UnicodeEncodeError:
        return _UTF_8
    return character_set


def _birthday(study_date: date, age: int, days_after: int) -> date:
    """A date of birth that makes someone `age` whole years old on the day of the study."""
    newest = study_date.replace(year=study_date.year - age, day=min(study_date.day, 28))
    return newest - timedelta(days=min(days_after, 360))


def _test_number(rng: np.random.Generator) -> str:
    """A ten-digit number with the modulus 11 check digit of an NHS number, in the 999 test range."""
    while True:
        nine = [9, 9, 9, *(int(digit) for digit in rng.integers(0, 10, 6))]
        check = 11 - sum(weight * digit for weight, digit in zip(range(10, 1, -1), nine, strict=True)) % 11
        if check != 10:
            return "".join(str(digit) for digit in nine) + str(check % 11)


@dataclass(frozen=True, slots=True)
class Canaries:
    """Unmistakable marks to plant in patient headers and to look for where no identifier may be.

    Every value is ASCII and is written as it stands, in headers of any character set.
    """

    tag: str = "QZ7"
    birth_date: date = date(1937, 11, 13)

    @property
    def uid_root(self) -> str:
        return "1.2.999.73737337"

    def _mark(self, what: str) -> str:
        return f"{self.tag}{what}"

    def _marks(self) -> dict[str, str]:
        fields = {
            "patient_id": "PID", "other_patient_id": "OTHERID", "address": "STREET", "telephone": "PHONE",
            "accession": "ACC", "study_id": "STUDY", "institution": "HOSPITAL", "institution_address": "HOSPADDR",
            "operator": "OPERATOR", "comments": "COMMENT", "request_text": "REQUEST", "device_serial": "SERIAL",
            "private_text": "PRIVATE", "referring_physician": "REFERRER", "nested_canary": "NESTED",
        }  # fmt: skip
        return {name: self._mark(what) for name, what in fields.items()}

    @property
    def values(self) -> list[bytes]:
        """Every planted byte string; the birth date as DICOM and as ISO 8601 write it."""
        texts = [*self._marks().values(), self._mark("FAMILY"), self._mark("GIVEN"), f"{self.uid_root}."]
        texts += [self.birth_date.strftime("%Y%m%d"), self.birth_date.isoformat()]
        return [text.encode() for text in texts]

    def found_in(self, data: bytes) -> list[bytes]:
        """The planted values that occur in `data`, in any case.

        A date or UID inside a longer run of digits doesn't count.
        """
        return [
            value
            for value in self.values
            if re.search(
                rb"(?<![0-9])" + re.escape(value) + (b"" if value.endswith(b".") else rb"(?![0-9])")
                if value[:1].isdigit()
                else re.escape(value),
                data,
                re.IGNORECASE,
            )
        ]

    def plant(self, identity: Identity) -> Identity:
        """The identity with every identifying value replaced by a mark; the age and the sex stay.

        Name, numbers and UIDs end in digits of the patient's own number, so that patients stay distinct.
        """
        suffix = identity.patient_id[3:]
        marks = self._marks()
        for name in ("patient_id", "other_patient_id", "accession"):
            marks[name] += suffix[-6:]
        return replace(
            identity,
            **marks,  # type: ignore[arg-type]  # every mark is a text field of Identity
            name=f"{self._mark('FAMILY')}{suffix}^{self._mark('GIVEN')}",
            birth_date=self.birth_date,
            uid_root=f"{self.uid_root}.{int(suffix)}",
        )
