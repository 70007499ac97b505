"""GET /data/changes: pages of changes, each from where the one before ended."""

from __future__ import annotations

import json

import pytest

from kasparro.schemas.data import ChangesResponse

pytestmark = pytest.mark.anyio


def change(seed, source, source_id, title):
    seed.connection.execute("UPDATE etl_checkpoint SET version = version + 1 WHERE source = %s", (source,))
    seed.connection.execute(
        """
        UPDATE normalized_data SET data = data || jsonb_build_object('title', %s::text), updated_at = now(),
            version = (SELECT version FROM etl_checkpoint WHERE source = %s)
        WHERE source = %s AND source_id = %s
        """,
        (title, source, source, source_id),
    )


async def test_a_follower_asks_on_from_where_it_was(client, seed):
    seed.records("alpha", 3)
    first = (await client.get("/data/changes?limit=2")).json()
    second = (await client.get(f"/data/changes?since={first['next_since']}")).json()
    change(seed, "alpha", "1", "changed")
    third = (await client.get(f"/data/changes?since={second['next_since']}")).json()
    fourth = (await client.get(f"/data/changes?since={third['next_since']}")).json()

    assert [page["more"] for page in (first, second, third, fourth)] == [True, False, False, False]
    told = [[c["source_id"] for c in page["changes"]] for page in (first, second, third, fourth)]
    assert told == [["1", "2"], ["3"], ["1"], []]
    assert third["changes"][0]["record"]["title"] == "changed"
    assert third["changes"][0]["version"] == 2
    assert fourth["next_since"] == third["next_since"]


async def test_only_what_comes_from_now_on(client, seed):
    seed.records("alpha", 3)
    now = (await client.get("/data/changes?since=now")).json()
    assert (now["changes"], now["more"]) == ([], False)
    change(seed, "alpha", "2", "changed")
    later = (await client.get(f"/data/changes?since={now['next_since']}")).json()
    assert [c["source_id"] for c in later["changes"]] == ["2"]


async def test_the_answer_is_what_the_description_says_and_the_record_that_of_data(client, seed):
    seed.records("alpha", 2)
    answer = await client.get("/data/changes")
    records = (await client.get("/data")).json()["data"]

    ChangesResponse.model_validate_json(answer.content)
    assert [c["record"] for c in answer.json()["changes"]] == records
    assert answer.headers["cache-control"] == "no-store", "it has no validator to ask again with"


async def test_filters_and_fields_are_those_of_data(client, seed):
    seed.records("alpha", 5)
    seed.records("beta", 5)
    answer = await client.get(
        "/data/changes", params={"source": "alpha", "metadata.number[ge]": "3", "fields": "title"}
    )
    assert [c["record"] for c in answer.json()["changes"]] == [{"title": "alpha 3"}, {"title": "alpha 4"}]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("since=now&since=now", "since"),
        ("sort=title", "sort"),
        ("offset=3", "offset"),
        ("q=words", "q"),
        ("count=none", "count"),
        ("titel=x", "titel"),
        ("title[foo]=x", "title[foo]"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name(client, query, parameter):
    answer = await client.get(f"/data/changes?{query}")
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)


@pytest.mark.parametrize("since", ["", "x", "Zg", "NOW", "0" * 30_000])
async def test_a_damaged_position_is_refused(client, since):
    answer = await client.get("/data/changes", params={"since": since})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["parameter"]) == (400, "invalid_cursor", "since")


async def test_a_position_belongs_to_its_filters(client, seed):
    seed.records("alpha", 1)
    since = (await client.get("/data/changes?source=alpha")).json()["next_since"]
    assert (
        await client.get(f"/data/changes?source=alpha&fields=id&limit=3&since={since}")
    ).status_code == 200
    answer = await client.get(f"/data/changes?since={since}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_row_that_is_no_record_is_left_out(client, seed):
    seed.record("alpha", json.dumps([1]))
    seed.record("alpha", {"title": "fine"})
    answer = (await client.get("/data/changes")).json()
    assert [c["record"]["title"] for c in answer["changes"]] == ["fine"]
