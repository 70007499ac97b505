"""Telling the encoding: what is sure is used, what is not is refused."""

from __future__ import annotations

import codecs

import pytest

from kasparro.core.errors import PermanentSourceError, UnexpectedContent
from kasparro.ingestion.csv.encoding import Encoding, declared_encoding, detect_encoding

FRENCH = "id,ville\n1,Orléans\n2,Besançon\n3,Nîmes\n4,L\u2019Haÿ-les-Roses\n5,Sète\n6,Mâcon\n7,Épinal\n"
GERMAN = "id,ort\n1,München\n2,Köln\n3,Düsseldorf\n4,Nürnberg\n5,Saarbrücken\n6,Straße am Börsenplatz\n"
POLISH = (
    "id,miasto\n1,Łódź jest największym miastem w środkowej Polsce\n2,Zażółć gęślą jaźń proszę państwa\n" * 5
)
RUSSIAN = "id,город\n1,Москва является крупнейшим городом России\n2,Санкт-Петербург находится далеко\n" * 5


def detect(content: bytes, *, complete: bool = True) -> Encoding:
    return detect_encoding(content, "file.csv", complete=complete)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_decides(codec: str) -> None:
    found = detect("\ufeffid,name\n1,é\n".encode(codec))
    assert (found.name, found.bom, found.how) == (codec, len("\ufeff".encode(codec)), "byte order mark")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["id,name\n1,é\n", "id\n1\n", "a", "город,ид\n1,2\n" * 9, "id,n\n1,\U0001f600\n"]
)
def test_zero_bytes_in_regular_places_are_utf_16_or_utf_32(codec: str, text: str) -> None:
    found = detect(text.encode(codec))
    if codec.startswith("utf-16") and "город" in text:
        return  # half of it has no zero bytes: that is for a mark or a declaration to say
    assert (found.name, found.how) == (codec, "zero bytes")


@pytest.mark.parametrize(
    "content", [b"id,name\n1,a\0b\n", b"a\0bc", b"\0abc", b"id\n" + b"1\n" * 9 + b"\0" * 9]
)
def test_stray_zero_bytes_are_not_utf_16(content: bytes) -> None:
    assert detect(content).name == "utf-8"


def test_a_character_cut_at_the_end_of_the_sample_is_no_fault() -> None:
    cut = "drinks\nCoffee from the Café é".encode()[:-1]
    assert detect(cut, complete=False).name == "utf-8"
    assert detect("drinks\nCoffee from the Caf\u00e9".encode()[:-1], complete=False).name == "utf-8"


@pytest.mark.parametrize(
    "text", [FRENCH, GERMAN, "name\nJosé\n", "price\n5 €\n", "id,name\n1,Müller\n2,Smith\n"]
)
def test_western_text_is_windows_1252(text: str) -> None:
    found = detect(text.encode("cp1252"))
    assert (found.name, found.how) == ("cp1252", "guess")


@pytest.mark.parametrize(
    ("text", "codec"), [(POLISH, "cp1250"), (RUSSIAN, "cp1251"), ("名前,都市\n田中,東京\n" * 20, "shift_jis")]
)
def test_other_text_is_read_right_or_not_at_all(text: str, codec: str) -> None:
    content = text.encode(codec)
    try:
        found = detect(content)
    except UnexpectedContent:
        return
    assert content.decode(found.name) == text


def test_binary_data_is_refused() -> None:
    with pytest.raises(UnexpectedContent, match="cannot be told"):
        detect(bytes(range(256)) * 8)


def test_a_declared_encoding_takes_its_own_byte_order_mark() -> None:
    assert declared_encoding("utf-8", codecs.BOM_UTF8 + b"a", "f").bom == 3
    assert declared_encoding("utf-16", codecs.BOM_UTF16_BE + b"\0a", "f").name == "utf-16-be"
    assert declared_encoding("utf-16", codecs.BOM_UTF16_LE + b"\0\0", "f").name == "utf-16-le"
    assert declared_encoding("utf-16", b"a\0", "f").name == "utf-16-le"
    assert declared_encoding("utf-8-sig", b"a", "f").bom == 0


def test_a_byte_order_mark_that_contradicts_the_declaration_is_refused() -> None:
    with pytest.raises(UnexpectedContent, match="byte order mark of utf-8, and latin-1 is declared"):
        declared_encoding("latin-1", codecs.BOM_UTF8 + b"a", "f")


@pytest.mark.parametrize(
    "name", ["base64", "rot13", "no-such", "idna", "punycode", "iso2022_kr", "unicode_escape"]
)
def test_what_is_no_encoding_of_text_files_is_refused(name: str) -> None:
    with pytest.raises(PermanentSourceError, match="not an encoding"):
        declared_encoding(name, b"", "f")


@pytest.mark.parametrize(
    "bad",
    [b"\xff", b"\xed\xa0\x80", b"\xe9", b"\xc3", b"\xf5\x80\x80\x80", b"\x80"],
)
def test_utf_8_with_a_fault_in_it_stays_utf_8(bad: bytes) -> None:
    """A guess would make other text of every row, and say nothing; now one row is a reject."""
    good = "".join(f"{number},caf\u00e9 {number}\n" for number in range(5)).encode()

    found = detect(b"id,name\n" + good + b"9," + bad + b"\n" + good, complete=True)

    assert (found.name, found.how) == ("utf-8", "utf-8")


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xff\xfe"])
def test_a_few_stray_bytes_are_no_reason_to_guess(bad: bytes) -> None:
    assert detect(b"id,name\n1,a\n2," + bad + b"\n3,b\n", complete=True).name == "utf-8"
