"""GET /entities and /entities/{entity_id}."""

from __future__ import annotations

import pytest

from kasparro.core.uuid7 import uuid7

pytestmark = pytest.mark.anyio


async def test_an_entity_has_the_records_of_all_sources(client, seed):
    record = seed.record("alpha", {"title": "One", "url": "https://example.org/1", "metadata": {}})
    entity = seed.entity("alpha:1", "beta:7")

    found = (await client.get(f"/entities/{entity.upper()}")).json()

    assert (found["id"], found["record_count"]) == (entity, 2)
    one, other = found["records"]
    assert (one["record_id"], one["title"], one["url"]) == (record, "One", "https://example.org/1")
    assert (one["source"], one["source_id"], one["method"], one["confidence"]) == ("alpha", "1", "url", 0.95)
    assert (one["decided_by"], one["conflict"]) == ("rule", None)
    assert (other["source"], other["record_id"], other["title"]) == ("beta", None, None)


async def test_its_records_are_bounded_and_paged(client, seed):
    entity = seed.entity(*(f"alpha:{n}" for n in range(5)))

    pages = [(await client.get(f"/entities/{entity}?limit=2&offset={n}")).json() for n in (0, 2, 4, 6)]

    assert [[r["source_id"] for r in page["records"]] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
        [],
    ]
    assert {page["record_count"] for page in pages} == {5}
    assert (await client.get(f"/entities/{entity}?limit=101")).status_code == 422


async def test_an_id_that_was_merged_answers_with_what_it_was_merged_into(client, seed):
    first, second, third = seed.entity(), seed.entity(), seed.entity("alpha:1")
    for goes, stays in ((first, second), (second, third)):
        seed.connection.execute("UPDATE entity SET merged_into = %s WHERE id = %s", (stays, goes))

    found = (await client.get(f"/entities/{first}")).json()

    assert (found["id"], found["record_count"]) == (third, 1)


async def test_what_is_no_entity_is_not_found_or_refused(client):
    answer = await client.get(f"/entities/{uuid7()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for text in ("1", "x" * 36, "%00", uuid7() + "0", f"%7B{uuid7()}%7D"):
        answer = await client.get(f"/entities/{text}")
        assert (answer.status_code, answer.json()["parameter"]) == (422, "entity_id"), text


async def test_entities_are_listed_page_by_page_in_the_order_in_which_they_were_made(client, seed):
    made = sorted(seed.entity(f"alpha:{n}") for n in range(5))
    seed.entity()  # nobody speaks of it
    seen, after = [], ""
    while True:
        page = (await client.get(f"/entities?limit=2{after}")).json()
        seen += [entity["id"] for entity in page["entities"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert seen == made


async def test_entities_can_be_narrowed(client, seed):
    alone, matched = seed.entity("alpha:1"), seed.entity("alpha:2", "beta:2")
    torn = seed.entity(
        "alpha:3", method="conflict", conflict=f'{{"url": ["{alone}"], "title+author": ["{matched}"]}}'
    )

    for query, expected in (
        ("", {alone, matched, torn}),
        ("matched=true", {matched}),
        ("conflicts=true", {torn}),
        ("matched=true&conflicts=true", set()),
    ):
        found = (await client.get(f"/entities?{query}")).json()["entities"]
        assert {entity["id"] for entity in found} == expected, query
    [record] = (await client.get(f"/entities/{torn}")).json()["records"]
    assert record["conflict"] == {"url": [alone], "title+author": [matched]}


async def test_the_entity_of_a_record_is_found_by_the_record(client, seed):
    one, two, unlinked = (seed.record("alpha", {"title": "A", "metadata": {}}) for _ in range(3))
    entity, other = seed.entity("alpha:1", "beta:7"), seed.entity("alpha:2")

    for record, expected in ((one, [entity]), (two, [other]), (unlinked, []), (99, [])):
        found = (await client.get(f"/entities?record_id={record}")).json()
        assert ([entity["id"] for entity in found["entities"]], found["next_after"]) == (expected, None)
    assert (await client.get(f"/entities?matched=true&record_id={two}")).json()["entities"] == []


async def test_what_is_asked_wrongly_is_refused(client):
    for query, parameter in (
        ("after=1", "after"),
        ("limit=0", "limit"),
        ("source=x", "source"),
        ("matched=yes", "matched"),
        ("record_id=0", "record_id"),
        ("record_id=1_0", "record_id"),
    ):
        answer = await client.get(f"/entities?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)
