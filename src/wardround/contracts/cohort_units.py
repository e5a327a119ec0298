"""Units of measurements: which can be told from each other's numbers, by UCUM code.

Source: The Unified Code for Units of Measure 2.1 (https://ucum.org/ucum). A number turns into another unit's by a
factor alone where both are of one line below. Amounts of substance and masses are lines of their own: between them lies
the molar mass, which is the substance's own. Temperatures have no factor alone; they are asked as they were recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_LINES: tuple[Mapping[str, float], ...] = (
    {"kg": 1e3, "g": 1.0, "mg": 1e-3, "ug": 1e-6, "ng": 1e-9, "[lb_av]": 453.59237},
    {"g/L": 1.0, "g/dL": 10.0, "mg/dL": 0.01, "mg/L": 1e-3, "ug/L": 1e-6, "ug/dL": 1e-5, "ng/mL": 1e-6, "ng/L": 1e-9,
     "ng/dL": 1e-8, "pg/mL": 1e-9, "mg/mL": 1.0, "ug/mL": 1e-3, "g/mL": 1e3},
    {"mol/L": 1.0, "mmol/L": 1e-3, "umol/L": 1e-6, "nmol/L": 1e-9, "pmol/L": 1e-12},
    {"m": 1.0, "cm": 0.01, "mm": 1e-3, "um": 1e-6, "[in_i]": 0.0254, "[ft_i]": 0.3048},
    {"mm[Hg]": 1.0, "kPa": 7.500616827, "Pa": 0.007500616827, "cm[H2O]": 0.7355591},
    {"L": 1.0, "dL": 0.1, "cL": 0.01, "mL": 1e-3, "uL": 1e-6},
    {"/L": 1.0, "10*9/L": 1e9, "10*12/L": 1e12, "10*3/uL": 1e9, "10*6/uL": 1e12, "/uL": 1e6, "10*6/L": 1e6},
    {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0, "wk": 604800.0},
    {"/min": 1.0, "/s": 60.0, "{beats}/min": 1.0, "{breaths}/min": 1.0, "Hz": 60.0},
    {"U/L": 1.0, "[IU]/L": 1.0, "k[IU]/L": 1e3, "m[IU]/L": 1e-3, "m[IU]/mL": 1.0, "[IU]/mL": 1e3, "u[IU]/mL": 1e-3},
    {"kg/m2": 1.0, "g/m2": 1e-3},
    {"1": 1.0, "%": 0.01, "[ppth]": 1e-3, "{score}": 1.0, "{ratio}": 1.0, "{INR}": 1.0},
    {"mmol/mol": 1.0, "mol/mol": 1000.0},
    {"mL/min": 1.0, "L/min": 1000.0},
    {"mL/min/{1.73_m2}": 1.0},
    {"mL/min/1.73.m2": 1.0},
    {"Cel": 1.0},
    {"[degF]": 1.0},
    {"mV": 1e-3, "V": 1.0, "uV": 1e-6},
    {"mSv": 1e-3, "Sv": 1.0},
    {"mGy": 1e-3, "Gy": 1.0, "cGy": 0.01},
    {"Bq": 1.0, "kBq": 1e3, "MBq": 1e6},
    {"mm/h": 1.0},
    {"fL": 1.0},
    {"pg": 1.0},
    {"mosm/kg": 1.0},
)  # fmt: skip

OMOP_UNITS: Mapping[str, int] = MappingProxyType(
    {
        "kg": 9529, "g": 8504, "mg": 8576, "g/L": 8636, "g/dL": 8713, "mg/dL": 8840, "mg/L": 8751, "ug/L": 8748,
        "ng/mL": 8842, "pg/mL": 8845, "mmol/L": 8753, "umol/L": 8749, "cm": 8582, "mm": 8588, "m": 9546,
        "mm[Hg]": 8876, "%": 8554, "/min": 8541, "U/L": 8645, "10*9/L": 9444, "kg/m2": 9531, "L": 8519, "mL": 8587,
        "s": 8555, "min": 8550, "h": 8505, "Cel": 586323, "mL/min": 8795,
    }
)  # fmt: skip
"""OMOP's standard concepts of units (vocabulary UCUM), for records that were loaded with a concept and no code."""


def known_units() -> tuple[str, ...]:
    """Every unit that a question may name, in order."""
    return tuple(sorted({unit for line in _LINES for unit in line}))


def fitting(unit: str) -> Mapping[str, float]:
    """The units whose numbers turn into those of `unit`: each with how many of it make one `unit`.

    Raises:
        KeyError: the unit isn't known.
    """
    for line in _LINES:
        if unit in line:
            return {other: line[unit] / size for other, size in line.items()}
    raise KeyError(unit)
