"""Which studies of the enclave are still coming in.

Instances are de-identified as they arrive, so that a study is ready as soon as it is complete. Until then cohorts
don't see it: a count or a manifest of half a study would be another one a minute later, and a volume of it wrong.
"""

from __future__ import annotations

from sqlalchemy import Select, select

from wardround.node.deidentify.tables import OpenStudy


def unready() -> Select[str]:
    """The (new) Study Instance UIDs that cohorts leave out, for `column.not_in(unready())`."""
    return select(OpenStudy.study_uid)
