"""A token is one word that reads back whole, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.foundation.token import Token, TokenRefused, digest_of, new_secret


def _token() -> Token:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    return Token(site="north", host="hub.example", port=8444, root="a" * 64, secret=new_secret(), expires=expires)


def test_a_token_reads_back() -> None:
    token = _token()
    word = str(token)
    assert not set(word) & set(" \n\"'$=/+")
    assert Token.parse(f"  {word}\n") == token
    assert token.secret_digest == digest_of(token.secret)
    assert token.secret not in repr(token)


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_damaged_token_isnt_read_as_another(start: int, length: int) -> None:
    token = _token()
    word = str(token)
    damaged = word[:start] + word[start + length :]
    if damaged == word:
        return
    try:
        parsed = Token.parse(damaged)
    except TokenRefused:
        return
    assert parsed.secret == token.secret


@given(st.text(max_size=80))
def test_any_other_text_is_refused_with_the_mend(text: str) -> None:
    with pytest.raises(TokenRefused, match="copy all of it"):
        Token.parse(text)
