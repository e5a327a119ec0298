"""What goes wrong with records as a whole."""

from __future__ import annotations

from wardround.foundation.errors import WardroundError


class RecordsRefused(WardroundError):
    """A file, a mapping or a setting that can't be used; the text says what, where and the mend."""

    code = "records-refused"


class RecordsBusy(WardroundError):
    """Another program writes to the records at this moment."""

    code = "records-busy"
