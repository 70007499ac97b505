from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.http.json_text import Transcoder, utf8_text

WITH_MARK = ["utf-8-sig", "utf-16", "utf-32"]
NAMED = ["utf-8", "UTF8", "utf-16-le", "utf-16be", "utf-32-le", "utf_32_be"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufeff")), st.sampled_from(WITH_MARK))
@settings(deadline=None)
def test_a_byte_order_mark_decides_whatever_was_declared(text, encoding):
    assert utf8_text(f"[{text}".encode(encoding), "iso-8859-1") == f"[{text}".encode()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufeff")), st.sampled_from(NAMED))
@settings(deadline=None)
def test_a_declared_unicode_encoding_is_read(text, encoding):
    assert utf8_text(f"[{text}".encode(encoding), encoding) == f"[{text}".encode()


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\ufeff"), min_size=1),
    st.sampled_from([*WITH_MARK, *NAMED, "shift_jis", "iso2022_jp", "gb18030"]),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_blocks_of_any_size_give_the_same_text(text, encoding, cuts):
    content = f"[{text}".encode(encoding, "replace")
    declared = None if encoding in WITH_MARK else encoding
    transcoder = Transcoder(None, declared)
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    places[1:-1] = [max(place, 4) for place in places[1:-1] if len(content) >= 4]
    found = b"".join(transcoder.feed(content[a:b]) for a, b in pairwise(places))
    found += transcoder.feed(b"", final=True)
    assert found.decode() == content.decode(encoding)


def test_a_western_charset_counts_from_the_first_block_that_is_not_ascii_and_not_utf8():
    transcoder = Transcoder("iso-8859-1")
    blocks = [b"[1, ", "ä".encode("latin-1"), "é".encode("latin-1")]
    assert b"".join(map(transcoder.feed, [*blocks, b" "])) == "[1, äé ".encode()


def test_what_does_not_fit_is_told_by_its_place_in_the_whole_body():
    transcoder = Transcoder(None)
    assert transcoder.feed("ab€".encode()[:-1]) == b"ab"
    with pytest.raises(UnexpectedContent, match="at byte 5"):
        transcoder.feed("€".encode()[-1:] + b"\xff")


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis"])
def test_a_character_that_is_not_whole_at_the_end_is_an_error(encoding):
    transcoder = Transcoder(None, encoding)
    assert transcoder.feed("a日".encode(encoding)[:-1]) == b"a"
    with pytest.raises(UnexpectedContent):
        transcoder.feed(b"", final=True)


def test_utf16_without_order_is_big_endian():
    assert utf8_text("[ä]".encode("utf-16-be"), "utf-16") == "[ä]".encode()


@pytest.mark.parametrize("charset", [None, "utf-8", "ascii", "iso-8859-1", "nonsense", "rot13", "a\0b"])
def test_what_is_valid_utf8_is_utf8(charset):
    assert utf8_text("[ä€]".encode(), charset) == "[ä€]".encode()


@pytest.mark.parametrize("charset", ["iso-8859-1", "latin1", "windows-1252", "ISO-8859-15"])
def test_a_western_charset_counts_where_utf8_does_not_fit(charset):
    assert utf8_text("[ä]".encode("latin-1"), charset) == "[ä]".encode()


@pytest.mark.parametrize(
    ("content", "charset", "offset"),
    [
        (b'["ab\xff"]', None, 4),
        (b"\xef\xbb\xbf[\xff]", None, 4),
        (b'["\xed\xa0\x80"]', "utf-8", 2),
        (b"[\x00\x00\xd8]\x00", "utf-16-le", 2),
        (b'["ab\xff"]', "shift_jis", 4),
    ],
)
def test_bytes_that_do_not_fit_are_named_by_their_offset(content, charset, offset):
    with pytest.raises(UnexpectedContent, match=f"at byte {offset}\\b"):
        utf8_text(content, charset)
