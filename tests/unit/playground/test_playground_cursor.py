import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.playground.airports import load_airportsdata
from kasparro.playground.cursor import CursorInvalid, decode_cursor, encode_cursor

KEYS = st.text(min_size=1, max_size=20).filter(lambda text: text.isascii() or text.isprintable())


@given(KEYS)
def test_a_cursor_reads_as_the_key_it_was_made_of(key):
    assert decode_cursor(encode_cursor(key)) == key


@given(st.text(max_size=60))
def test_any_other_text_is_no_cursor(text):
    with pytest.raises(CursorInvalid):
        decode_cursor(text)


@given(st.sampled_from(load_airportsdata().keys), st.data())
def test_a_cursor_with_one_character_changed_is_refused(key, data):
    cursor = encode_cursor(key)
    position = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != cursor[position]))

    with pytest.raises(CursorInvalid):
        decode_cursor(cursor[:position] + other + cursor[position + 1 :])


@pytest.mark.parametrize("junk", ["=", "==", "!", " ", "\n", "A", "AAAA", "ä"])
def test_a_cursor_with_something_appended_is_refused(junk):
    with pytest.raises(CursorInvalid):
        decode_cursor(encode_cursor("KJFK") + junk)


def test_a_key_without_its_check_is_refused():
    with pytest.raises(CursorInvalid):
        decode_cursor(base64.urlsafe_b64encode(b"KJFK").decode())


def test_cursors_do_not_show_the_key_and_are_safe_in_an_address():
    cursor = encode_cursor("KJFK")

    assert "KJFK" not in cursor
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_means_the_same_after_a_restart():
    assert encode_cursor("07FA") == "uncoRvac5_IwN0ZB"
