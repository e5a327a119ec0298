"""A task that another system asks for."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pydicom
from tests.front_door import studies

from wardround.node.workitems import attributes as at

SOURCE = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))


def task(**changes: Any) -> dict[str, Any]:
    """A second opinion on the study that is here, asked for by another system."""
    said = {
        at.STATE: at.one("CS", "SCHEDULED"),
        at.TRANSACTION_UID: at.one("UI"),
        at.PRIORITY: at.one("CS", "MEDIUM"),
        at.LABEL: at.one("LO", "Second opinion"),
        at.READINESS: at.one("CS", "READY"),
        at.START: at.one("DT", "20261130120000"),
        at.WORK_CODE: at.items(at.coded("OPINION", "99PARTNER", "Second opinion by a partner's program")),
        at.INPUT: at.items(at.referenced(str(SOURCE.StudyInstanceUID), "1.2", [])),
    }
    return {tag: value for tag, value in (said | changes).items() if value is not None}
