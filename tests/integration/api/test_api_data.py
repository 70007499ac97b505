from __future__ import annotations

import asyncio
import json

import httpx2
import psycopg
import pytest
from structlog.testing import capture_logs

from kasparro.schemas.data import PaginatedResponse, StoredRecord

pytestmark = pytest.mark.anyio


async def test_a_page_has_records_in_order_of_creation_and_the_exact_total(client, seed):
    seed.records("alpha", 7)
    seed.records("beta", 5)

    answer = await client.get("/data", params={"limit": 4, "offset": 5})

    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert (body["total_count"], body["limit"], body["offset"]) == (12, 4, 5)
    assert [r["title"] for r in body["data"]] == ["alpha 5", "alpha 6", "beta 0", "beta 1"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["api_latency_ms"] > 0


async def test_ten_records_are_the_default(client, seed):
    seed.records("alpha", 12)

    body = (await client.get("/data")).json()

    assert (body["limit"], body["offset"], len(body["data"])) == (10, 0, 10)


async def test_paging_by_source_yields_every_record_once(client, seed):
    seed.records("beta", 3)
    expected = seed.records("alpha", 25)
    seed.records("beta", 3)

    found = []
    for offset in range(0, 30, 10):
        body = (await client.get("/data", params={"source": "alpha", "offset": offset})).json()
        assert body["total_count"] == 25
        found += [record["id"] for record in body["data"]]

    assert found == expected


async def test_the_total_is_the_count_that_commits_keep(client, seed):
    seed.records("alpha", 2)
    seed.connection.execute("UPDATE etl_checkpoint SET record_count = 40")

    assert (await client.get("/data")).json()["total_count"] == 40
    assert (await client.get("/data?source=alpha")).json()["total_count"] == 40


async def test_a_source_without_data_has_an_empty_page(client, seed):
    seed.records("alpha", 2)

    body = (await client.get("/data?source=nowhere")).json()

    assert (body["total_count"], body["data"]) == (0, [])


async def test_an_offset_beyond_the_end_is_an_empty_page_with_the_total(client, seed):
    seed.records("alpha", 3)

    for offset in (3, 10**9, 2**63 - 1):
        body = (await client.get("/data", params={"offset": offset, "limit": 100})).json()
        assert (body["total_count"], body["data"], body["offset"]) == (3, [], offset)


async def test_answers_are_what_the_description_promises(client, seed):
    full = {
        "title": "T",
        "description": "D",
        "content": "C",
        "author": "A",
        "published_at": "2024-02-29T12:00:00.5Z",
        "url": "https://example.org/?q=\u00e9\U0001f600",
        "category": "x",
        "metadata": {"nested": [1, {"a": None}]},
    }
    first = seed.record("alpha", full, "007")
    seed.record("alpha", {}, "with/slash and \u00fc")

    page = await client.get("/data")
    one = await client.get(f"/data/{first}")

    parsed = PaginatedResponse.model_validate_json(page.content, strict=True)
    assert parsed.data[0] == StoredRecord.model_validate_json(one.content, strict=True)
    assert one.json() == page.json()["data"][0]
    assert {k: v for k, v in one.json().items() if k in full} == full
    assert one.json()["source_id"] == "007"
    assert parsed.data[1].metadata == {}
    assert parsed.data[1].title is None
    assert list(one.json()) == [
        "id",
        "source",
        "source_id",
        "title",
        "description",
        "content",
        "author",
        "published_at",
        "url",
        "category",
        "metadata",
        "created_at",
        "updated_at",
    ]


async def test_numbers_keep_every_digit(client, seed):
    numbers = '{"price": 0.10, "long": 1234567890123456789012.000000000000000001, "zero": 0, "small": -1.5e-7, "huge": 1e300}'
    record = seed.record("alpha", f'{{"source": "alpha", "source_id": "1", "metadata": {numbers}}}')

    for path in ("/data", f"/data/{record}"):
        text = (await client.get(path)).text
        assert '"price": 0.10' in text
        assert '"long": 1234567890123456789012.000000000000000001' in text
        assert '"zero": 0' in text
        assert '"small": -0.00000015' in text
        assert f'"huge": 1{"0" * 300}' in text


async def test_times_are_utc_to_the_microsecond(client, seed):
    record = seed.record("alpha", {})
    seed.connection.execute(
        "UPDATE normalized_data SET created_at = '2024-07-01 14:00:00.000001+02', updated_at = '2024-07-02 00:00Z'"
    )

    body = (await client.get(f"/data/{record}")).json()

    assert body["created_at"] == "2024-07-01T12:00:00.000001Z"
    assert body["updated_at"] == "2024-07-02T00:00:00.000000Z"


POISON = {
    "too deep": f'{{"metadata": {"[" * 5000}{"]" * 5000}}}',
    "not an object": "[1, 2]",
    "a scalar": '"text"',
}


async def test_a_poisoned_row_is_reported_and_the_others_are_served(client, seed):
    seed.record("alpha", {})
    bad = [seed.record("alpha", poison) for poison in POISON.values()]
    seed.record("alpha", {})

    with capture_logs() as logs:
        page = await client.get("/data")
        alone = [await client.get(f"/data/{number}") for number in bad]

    assert page.status_code == 200
    assert [r["source_id"] for r in page.json()["data"]] == ["1", str(len(bad) + 2)]
    assert page.json()["total_count"] == len(bad) + 2
    assert [e["id"] for e in logs if e["event"] == "record.unreadable"] == bad
    assert {(a.status_code, a.headers["content-type"]) for a in alone} == {(500, "application/problem+json")}


async def test_an_impossible_time_spoils_only_its_own_row(client, seed):
    bad, good = seed.records("alpha", 2)

    for time in ("infinity", "-infinity", "12000-01-01", "0044-03-15 BC"):
        seed.connection.execute("UPDATE normalized_data SET updated_at = %s WHERE id = %s", (time, bad))
        with capture_logs():
            page, alone = await client.get("/data"), await client.get(f"/data/{bad}")
        assert [r["id"] for r in page.json()["data"]] == [good]
        assert alone.status_code == 500


REFUSED = [
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=101", "limit"),
    ("limit=1000000000", "limit"),
    ("limit=99999999999999999999999", "limit"),
    (f"limit={'9' * 5000}", "limit"),
    ("limit=abc", "limit"),
    ("limit=", "limit"),
    ("limit=1_0", "limit"),
    ("limit=%2010", "limit"),
    ("limit=10.0", "limit"),
    ("limit=1e1", "limit"),
    ("limit=%D9%A1", "limit"),
    ("limit=10%00", "limit"),
    ("offset=-1", "offset"),
    ("offset=9223372036854775808", "offset"),
    ("offset=NaN", "offset"),
    ("source=", "source"),
    ("source=Alpha", "source"),
    ("source=a%00b", "source"),
    ("source=alpha%0A", "source"),
    ("source=%ff%fe", "source"),
    ("source=%ED%A0%80", "source"),
    ("source=alpha'--", "source"),
    (f"source={'a' * 51}", "source"),
    ("source=alpha&source=beta", "source"),
    ("limit=1&limit=99", "limit"),
    ("limt=3", "limt"),
    ("Limit=3", "Limit"),
    ("sort=nothing", "sort"),
    ("source__regex=a", "source__regex"),
    ("%00=1", "\0"),
    ("'%20OR%201=1", "' OR 1"),
]


async def test_wrong_input_is_refused_by_name(client, seed):
    seed.records("alpha", 1)

    for query, parameter in REFUSED:
        answer = await client.get(f"/data?{query}")
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["parameter"]) == (422, 422, parameter), query
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["code"] == "invalid_parameter"
        assert problem["request_id"] == answer.headers["x-request-id"]


async def test_an_unknown_parameter_is_told_its_nearest_known_one(client):
    assert (await client.get("/data?limt=3")).json()["hint"] == "Did you mean 'limit'?"
    assert "limit, offset, source" in (await client.get("/data?zzzz=3")).json()["hint"]


async def test_an_impossible_id_is_refused(client):
    for identity in ("0", "-1", "abc", "1.0", "%00", "9223372036854775808", "9" * 5000):
        answer = await client.get(f"/data/{identity}")
        assert (answer.status_code, answer.json()["parameter"]) == (422, "id"), identity


async def test_a_record_that_is_not_there_is_not_found(client):
    for identity in ("1", "9223372036854775807"):
        answer = await client.get(f"/data/{identity}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_total_and_rows_are_of_one_moment(client, seed, database_url):
    """While a writer commits row by row, no answer has more or fewer rows than its total says."""
    commits = 60

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as writer:
            for number in range(commits):
                async with writer.transaction():
                    await writer.execute(
                        "INSERT INTO normalized_data (source, source_id, data, version) VALUES ('beta', %s, %s, 1)",
                        (str(number), json.dumps({"title": None})),
                    )
                    await writer.execute(
                        """
                        INSERT INTO etl_checkpoint (source, record_count) VALUES ('beta', 1)
                        ON CONFLICT (source) DO UPDATE SET record_count = etl_checkpoint.record_count + 1
                        """
                    )

    async def read() -> list[tuple[int, int]]:
        seen = []
        while not writing.done():
            body = (await client.get("/data?limit=100&source=beta")).json()
            seen.append((body["total_count"], len(body["data"])))
        return seen

    writing = asyncio.create_task(write())
    seen = await read()
    await writing

    assert [total for total, _ in seen] == [rows for _, rows in seen]


async def test_the_dataset_may_be_kept_only_by_the_caller_and_checked_each_time(client: httpx2.AsyncClient):
    assert (await client.get("/data")).headers["cache-control"] == "private, no-cache"
