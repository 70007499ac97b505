"""Values at the edge of what JSON, Python and PostgreSQL can hold, through the real write path: kept whole, or one reject each.

This is the table in docs/errors.md, as tests. In every case the good records before and after the bad one are in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from crash.scene import serving
from ingest_kit import ingest, rows, writer
from kasparro.core.etl_config import ApiSource, CsvSource
from kasparro.ingestion.opening import open_source
from kasparro.schemas.ingest import RunCounters

pytestmark = pytest.mark.anyio

GOOD = ['{"id": "before", "name": "good"}', '{"id": "after", "name": "good"}']
MAP = {"title": "name", "published_at": "at"}
WIDE = "\U0001f600"


def nested(depth: int) -> str:
    return "[" * (depth - 1) + "]" * (depth - 1)


@dataclass(frozen=True)
class Kept:
    """Text of `data->'metadata'->'v'` once stored."""

    text: str | None = None


API = {
    "a NUL in a value": ('{"id": "x", "v": "a\\u0000b"}', "invalid_text"),
    "a NUL in a key": ('{"id": "x", "a\\u0000b": 1}', "invalid_text"),
    "a NUL in the identity": ('{"id": "a\\u0000b"}', "invalid_text"),
    "an escaped backslash before u0000": ('{"id": "x", "v": "\\\\u0000"}', Kept('"\\\\u0000"')),
    "a lone high surrogate": ('{"id": "x", "v": "\\ud800"}', "invalid_text"),
    "a lone low surrogate": ('{"id": "x", "v": "\\udc00 x"}', "invalid_text"),
    "a lone surrogate in the identity": ('{"id": "\\ud800"}', "invalid_text"),
    "a pair of surrogates": ('{"id": "x", "v": "\\ud83d\\ude00"}', Kept(f'"{WIDE}"')),
    "2^63": ('{"id": "x", "v": 9223372036854775808}', Kept("9223372036854775808")),
    "2^64 as the identity": ('{"id": 18446744073709551616}', Kept()),
    "an integer of 400 digits": (f'{{"id": "x", "v": {"7" * 400}}}', Kept("7" * 400)),
    "an integer of 4,301 digits": (f'{{"id": "x", "v": {"7" * 4301}}}', Kept("7" * 4301)),
    "an integer of 4,301 digits as the identity": (f'{{"id": {"7" * 4301}}}', "identity_too_long"),
    "an integer of 4,301 digits as the title": (f'{{"id": "x", "title": {"7" * 4301}}}', Kept()),
    "30 decimals": (
        '{"id": "x", "v": 0.123456789012345678901234567890}',
        Kept("0.123456789012345678901234567890"),
    ),
    "1e131071": ('{"id": "x", "v": 1e131071}', Kept("1" + "0" * 131071)),
    "1e131072": ('{"id": "x", "v": 1e131072}', "number_out_of_range"),
    "1e200000": ('{"id": "x", "v": 1e200000}', "number_out_of_range"),
    "1e-200000": ('{"id": "x", "v": 1e-200000}', "number_out_of_range"),
    "1e200000 far inside": ('{"id": "x", "v": {"w": [1, {"z": -1E+200000}]}}', "number_out_of_range"),
    "NaN": ('{"id": "x", "v": NaN}', "invalid_json"),
    "Infinity": ('{"id": "x", "v": -Infinity}', "invalid_json"),
    "NaN as text": ('{"id": "x", "v": "NaN"}', Kept('"NaN"')),
    "a timestamp of infinity": ('{"id": "x", "at": "infinity"}', "invalid_time"),
    "a timestamp of -infinity": ('{"id": "x", "at": "-infinity"}', "invalid_time"),
    "a timestamp in the year 10000": ('{"id": "x", "at": "10000-01-01T00:00:00Z"}', "invalid_time"),
    "a timestamp in the year 0": ('{"id": "x", "at": "0000-01-01T00:00:00Z"}', "invalid_time"),
    "a timestamp of 1e300 seconds": ('{"id": "x", "at": 1e300}', "invalid_time"),
    "64 levels": (f'{{"id": "x", "v": {nested(64)}}}', Kept(nested(64))),
    "65 levels": (f'{{"id": "x", "v": {nested(65)}}}', "too_deep"),
    "6,000 levels": (f'{{"id": "x", "v": {nested(6000)}}}', "too_deep"),
    "an identity of 255 characters of four bytes": (
        json.dumps({"id": WIDE * 255}, ensure_ascii=False),
        Kept(),
    ),
    "an identity of 256 characters": (json.dumps({"id": "i" * 256}), "identity_too_long"),
    "a text of a million characters": (
        json.dumps({"id": "x", "v": "w" * 1_000_000}),
        Kept('"' + "w" * 1_000_000 + '"'),
    ),
    "no identity": ('{"v": 1}', "no_identity"),
    "an identity of null": ('{"id": null}', "no_identity"),
}


async def outcome(db) -> tuple[list[str], list[str]]:
    reasons = [row[0] for row in await rows(db, "SELECT reason FROM quarantine")]
    ids = [row[0] for row in await rows(db, "SELECT source_id FROM normalized_data ORDER BY id")]
    return ids, reasons


@pytest.mark.parametrize("name", API)
async def test_a_json_value_at_the_edge_is_kept_whole_or_is_one_reject(database_url, name):
    record, expected = API[name]
    with serving() as api:
        api.pages = [f"[{GOOD[0]}, {record}, {GOOD[1]}]".encode()]
        declaration = ApiSource.model_validate(
            {
                "name": "things",
                "url": f"{api.url}/items",
                "pagination": {"type": "page", "param": "page", "start": 1},
                "map": MAP,
            }
        )
        async with writer(database_url) as db:
            report = await ingest(db, open_source(declaration, 100), declaration)
            ids, reasons = await outcome(db)
            stored = await rows(
                db, "SELECT (data->'metadata'->'v')::text FROM normalized_data WHERE source_id = 'x'"
            )
            again = await ingest(db, open_source(declaration, 100), declaration)
    assert {"before", "after"} <= set(ids), report
    if isinstance(expected, Kept):
        assert (len(ids), reasons) == (3, [])
        assert expected.text is None or stored == [(expected.text,)]
        assert again.counters == RunCounters(unchanged=3)
    else:
        assert (len(ids), reasons) == (2, [expected])


CSV = {
    "a NUL": (b"x,a\0b,", "invalid_text"),
    "a NUL in the identity": (b"a\0b,,", "invalid_text"),
    "a lone surrogate": (b"x,\xed\xa0\x80,", "undecodable"),
    "text that looks like an escape": (rb"x,\u0000,", Kept(r'"\\u0000"')),
    "2^63": (b"x,9223372036854775808,", Kept('"9223372036854775808"')),
    "1e200000": (b"x,1e200000,", Kept('"1e200000"')),
    "NaN": (b"x,NaN,", Kept('"NaN"')),
    "007": (b"x,007,", Kept('"007"')),
    "a timestamp of infinity": (b"x,1,infinity", "invalid_time"),
    "6,000 levels of JSON": (b"x," + nested(6000).encode() + b",", Kept(f'"{nested(6000)}"')),
    "an identity of 255 characters of four bytes": ((WIDE * 255).encode() + b",1,", Kept()),
    "an identity of 256 characters": (b"i" * 256 + b",1,", "identity_too_long"),
}


@pytest.mark.parametrize("name", CSV)
async def test_a_cell_at_the_edge_is_kept_whole_or_is_one_reject(database_url, tmp_path, name):
    row, expected = CSV[name]
    file = tmp_path / "things.csv"
    file.write_bytes(b"\n".join([b"id,v,at", b"before,1,", row, b"after,1,", b""]))
    declaration = CsvSource.model_validate(
        {
            "name": "things",
            "path": str(file),
            "key": ["id"],
            "encoding": "utf-8",
            "map": {"title": "v", "published_at": "at"},
        }
    )
    async with writer(database_url) as db:
        report = await ingest(db, open_source(declaration, 100), declaration)
        ids, reasons = await outcome(db)
        stored = await rows(db, "SELECT (data->'title')::text FROM normalized_data WHERE source_id = 'x'")
    assert {"before", "after"} <= set(ids), report
    if isinstance(expected, Kept):
        assert (len(ids), reasons) == (3, [])
        assert expected.text is None or stored == [(expected.text,)]
    else:
        assert (len(ids), reasons) == (2, [expected])
