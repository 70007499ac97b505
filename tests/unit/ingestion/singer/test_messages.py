import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.singer.messages import ActivateVersion, NoMessage, Record, Schema, State, read_message
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.schemas.ingest import RejectReason


def test_a_record_keeps_its_own_text():
    text = rb'{ "price": 1.10, "n": 12345678901234567890,  "a": "\u00e9", "a": 2 }'

    message = read_message(
        b'{"type": "RECORD", "time_extracted": "x", "record": ' + text + b', "stream": "s"}'
    )

    assert message == Record("s", text)


def test_a_state_keeps_its_own_text():
    assert read_message(b'{"value":  {"b": 1.0} ,"type":"STATE"}') == State(b'{"b": 1.0}')
    assert read_message(b'{"type": "STATE", "value": "2026-01-01"}') == State(b'"2026-01-01"')


def test_a_schema_says_what_identifies_a_record():
    message = read_message(
        b'{"type":"SCHEMA","stream":"s","schema":{"type":"object"},"key_properties":["a","b"]}'
    )

    assert message == Schema("s", ("a", "b"), b'{"type":"object"}')
    assert read_message(b'{"type":"SCHEMA","stream":"s","schema":{},"key_properties":null}').key == ()


def test_a_version_is_activated():
    assert read_message(b'{"type":"ACTIVATE_VERSION","stream":"s","version":1}') == ActivateVersion("s")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"id": 1, "x": NaN}', RejectReason.INVALID_JSON),
        (b'{"id": 1, "x": -Infinity}', RejectReason.INVALID_JSON),
        (b'{"id": 1, "x": ' + b"[" * 600 + b"]" * 600 + b"}", RejectReason.TOO_DEEP),
    ],
)
def test_a_record_that_is_no_json_is_a_flaw_of_its_own(record, reason):
    message = read_message(b'{"type": "RECORD", "stream": "s", "record": ' + record + b"}")

    assert isinstance(message, Record)
    assert isinstance(message.element, Flaw)
    assert message.element.reason is reason
    assert json.loads(message.element.payload).encode() == record


def test_a_lone_surrogate_is_handed_on_as_it_is():
    message = read_message(rb'{"type": "RECORD", "stream": "s", "record": {"a": "\ud800"}}')

    assert message == Record("s", rb'{"a": "\ud800"}')


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"INFO starting", "is not JSON"),
        (b"[1]", "is not a Singer message"),
        (b'{"record": {}}', "is not a Singer message"),
        (b'{"type": "RECORD", "stream": "s"}', "without a record"),
        (b'{"type": "RECORD", "record": {}}', "without a stream"),
        (b'{"type": "STATE"}', "without a value"),
        (b'{"type": "SCHEMA", "stream": "s"}', "without a schema"),
        (b'{"type": "BATCH", "stream": "s"}', "BATCH"),
        (b'{"type": "RECODR", "stream": "s"}', "type that the Singer specification does not have"),
        (b'{"type": "RECORD", "stream": "s", "record": {"a": 1', "is not JSON"),
        (b'{"type": "STATE", "value": NaN}', "is not JSON"),
        (b'{"type": "RECORD", "stream": "\xff", "record": {}}', "is not UTF-8"),
    ],
)
def test_a_line_that_is_no_message_is_told_and_never_skipped(line, why):
    with pytest.raises(NoMessage, match=why):
        read_message(line)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values, st.booleans())
def test_whatever_a_record_holds_it_comes_out_as_the_text_it_was(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    message = read_message(b'{"stream": "s", "type": "RECORD", "record": ' + text + b"}")

    assert message == Record("s", text)


@given(st.binary())
def test_whatever_the_line_it_is_a_message_or_it_is_told(line):
    with suppress(NoMessage):
        read_message(line)
