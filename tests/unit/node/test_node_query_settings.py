"""Query/retrieve is off until somebody is named who may ask, and open on loopback alone without certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.tls_lab import Authority

from wardround.foundation.settings import SettingsRefused
from wardround.node.query.server import callers_of
from wardround.node.settings import NodeSettings, QueryCaller, QuerySettings


def test_it_is_off_by_default() -> None:
    assert not NodeSettings.model_fields["query"].default.enabled


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"enabled": True}, "query.callers"),
        ({"host": "0.0.0.0"}, "127.0.0.1"),
        ({"callers": [{"ae_title": "A"}, {"ae_title": "A "}]}, "keep one"),
        ({"callers": [{"ae_title": "A", "host": "10.0.0.1"}]}, "both host and port"),
        ({"tls_key": "a.key"}, "tls_certificate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_would_be_unsafe_is_refused_with_the_mend(settings: dict[str, object], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        QuerySettings.model_validate(settings)


def test_a_caller_is_reached_where_the_settings_say(tmp_path: Path) -> None:
    own = Authority(tmp_path, "hospital").issue("node")
    settings = QuerySettings(
        tls_certificate=own.certificate,
        tls_key=own.key,
        tls_trusted=own.trusted,
        callers=(QueryCaller(ae_title="A", host="10.0.0.1", port=104, tls=True), QueryCaller(ae_title="B")),
    )
    callers = callers_of(settings)
    assert callers["A"].destination is not None and callers["A"].destination.port == 104
    assert callers["A"].tls is not None
    assert callers["B"].destination is None


def test_a_destination_in_tls_needs_the_files() -> None:
    settings = QuerySettings(callers=(QueryCaller(ae_title="A", host="10.0.0.1", port=104, tls=True),))
    with pytest.raises(SettingsRefused, match="tls_certificate"):
        callers_of(settings)
