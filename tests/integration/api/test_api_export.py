"""GET /data/export: the same records as GET /data, as files that other programs read."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from contextlib import aclosing

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kasparro.schemas.export import ExportFormat
from kasparro.services.change_text import parse_export
from live_api import serving
from sse_client import stream

pytestmark = pytest.mark.anyio

NASTY = [
    "=1+1",
    "+cmd",
    "-cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "'=1",
    "''=1",
    "'",
    "'plain",
    "\uff1d1",
    'say "=1", please',
    'a;=1,"=1"',
    "",
    "-5",
    "+5.25e-3",
    ".5",
    "'-5",
    "line\nbreak\r\nand \\. and \\N and \x01\x02",
    "ünïcode 🙂",
]
FORMULA = re.compile(r"[\s']*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def unescaped(cell: str) -> str:
    """The rule of docs/api.md, the other way round."""
    rest = cell[1:]
    return rest if cell[:1] == "'" and FORMULA.match(rest) and not NUMBER.fullmatch(rest) else cell


def records_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def nasty(seed):
    for text in NASTY:
        seed.record("alpha", {"title": text, "metadata": {"text": text, "number": -5, "list": ["=1"]}})
    seed.record("alpha", {"title": None, "metadata": {}})


async def test_ndjson_has_the_records_as_data_has_them(client, nasty):
    answer = await client.get("/data/export")
    records = (await client.get("/data?limit=100")).json()["data"]

    assert [json.loads(line) for line in answer.text.split("\n")[:-1]] == records
    assert len(records) == len(NASTY) + 1
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store", "it has no validator to ask again with"
    assert answer.headers["content-disposition"] == 'attachment; filename="records.ndjson"'


async def test_csv_cells_are_no_formulas_and_come_back_as_they_were(client, nasty):
    answer = await client.get("/data/export?format=csv&fields=id,title,metadata.text,metadata.number")
    rows = records_of(answer.text)

    assert rows[0].keys() == {"id", "title", "metadata.text", "metadata.number"}
    for row, text in zip(rows, NASTY, strict=False):
        for cell in (row["title"], row["metadata.text"]):
            assert NUMBER.fullmatch(cell) or not re.match(r"[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]", cell)
            assert unescaped(cell) == text
    assert {row["metadata.number"] for row in rows[:-1]} == {"-5"}
    assert rows[NASTY.index("-5")]["title"] == "-5"


async def test_csv_keeps_formulas_where_that_is_asked_for(client, nasty):
    answer = await client.get("/data/export?format=csv&formulas=keep&fields=id,title")
    assert [row["title"] for row in records_of(answer.text)] == [*NASTY, ""]


async def test_csv_is_that_of_rfc_4180_and_tells_null_from_empty(client, seed):
    seed.record("alpha", {"title": "", "author": None, "url": 'a"b'})
    answer = await client.get("/data/export?format=csv&fields=source,title,author,url")
    assert answer.content == b'source,title,author,url\r\n"alpha","",,"a""b"\r\n'


async def test_parquet_and_arrow_have_typed_columns(client, nasty, seed):
    seed.record("beta", {"title": "t", "published_at": "2024-02-29T12:00:00.000001Z"})
    parquet = await client.get("/data/export?format=parquet")
    arrow = await client.get("/data/export?format=arrow")

    table = pq.read_table(io.BytesIO(parquet.content))
    same = pa.ipc.open_stream(arrow.content).read_all()
    assert table.equals(same)
    assert str(table.schema.field("id").type) == "int64"
    assert str(table.schema.field("published_at").type) == "timestamp[us, tz=UTC]"
    rows = table.to_pylist()
    assert [row["title"] for row in rows[: len(NASTY)]] == NASTY
    assert json.loads(rows[0]["metadata"]) == {"text": "=1+1", "number": -5, "list": ["=1"]}
    assert rows[-1]["published_at"].isoformat() == "2024-02-29T12:00:00.000001+00:00"
    assert rows[-1]["created_at"].tzinfo is not None


@pytest.mark.parametrize("form", ExportFormat)
async def test_nothing_is_a_file_as_well(client, form):
    answer = await client.get(f"/data/export?format={form.value}&source=nobody")
    assert answer.status_code == 200
    match form:
        case ExportFormat.NDJSON:
            assert answer.content == b""
        case ExportFormat.CSV:
            assert answer.text.startswith("id,source,source_id,title,")
        case ExportFormat.PARQUET:
            assert pq.read_table(io.BytesIO(answer.content)).num_rows == 0
        case ExportFormat.ARROW:
            assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0


async def test_conditions_order_and_fields_are_those_of_data(client, seed):
    seed.records("alpha", 250)
    seed.records("beta", 5)
    answer = await client.get(
        "/data/export?source=alpha&metadata.number[ge]=100&sort=-id&fields=metadata.number"
    )
    numbers = [json.loads(line)["metadata.number"] for line in answer.text.splitlines()]
    assert numbers == list(range(249, 99, -1))


async def test_a_row_that_is_no_record_is_left_out(client, seed):
    seed.record("alpha", "[]")
    seed.record("alpha", {"title": "fine"})
    answer = await client.get("/data/export?fields=title")
    assert answer.text == '{"title" : "fine"}\n'


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("format=xml", "format"),
        ("formulas=no", "formulas"),
        ("format=csv&format=csv", "format"),
        ("limit=3", "limit"),
        ("cursor=x", "cursor"),
        ("q=x", "q"),
        ("titel=x", "titel"),
        ("sort=titel", "sort"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name(client, query, parameter):
    answer = await client.get(f"/data/export?{query}")
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)


@pytest.fixture
async def port(service):
    async with serving(service) as number:
        yield number


def active(url):
    with psycopg.connect(url, autocommit=True) as connection:
        statement = """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name LIKE 'kasparro-export %' AND state <> 'idle'
        """
        return connection.execute(statement).fetchone()[0]


@pytest.fixture
def many(seed):
    seed.connection.execute("""
        INSERT INTO normalized_data (source, source_id, data, version)
        SELECT 'alpha', g, jsonb_build_object('title', repeat('x', 1000), 'metadata', '{}'::jsonb), 1
        FROM generate_series(1, 30000) AS g
    """)


async def test_only_a_few_exports_go_on_at_once(serve, many):
    async with serve(export_concurrency=1) as service:
        export = service.runtime.export
        async with aclosing(export.parts(parse_export([]), ExportFormat.NDJSON)) as parts:
            await anext(parts)
            busy = await service.client.get("/data/export")
            assert (busy.status_code, busy.json()["code"]) == (503, "database_unavailable")
            assert int(busy.headers["retry-after"]) > 0
            assert (await service.client.get("/data")).status_code == 200
        assert (await service.client.get("/data/export?source=nobody")).status_code == 200


async def test_an_export_that_nobody_reads_on_is_cancelled_on_the_server(service, many, database_url):
    parts = service.runtime.export.parts(parse_export([]), ExportFormat.PARQUET)
    await anext(parts)
    await anext(parts)
    assert active(database_url) == 1
    await parts.aclose()
    assert active(database_url) == 0


async def test_when_the_client_goes_its_statement_goes_too(port, many, database_url):
    async with stream(port, "/data/export") as opened:
        assert opened.status == 200
        await opened.reader.readexactly(1000)
        assert await asyncio.to_thread(active, database_url) == 1
    while await asyncio.to_thread(active, database_url):
        pass


async def test_one_export_is_of_one_moment_and_its_first_part_comes_before_its_end(service, many, seed):
    async with aclosing(service.runtime.export.parts(parse_export([]), ExportFormat.NDJSON)) as parts:
        first = await anext(parts)
        seed.record("beta", {"title": "late"})
        records = first.records + sum([part.records async for part in parts])
    assert (first.records, records) == (1, 30_000)
