"""Full-text search, from a declared source through a run to the answer."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import psycopg
import pytest

from hostile import HOSTILE, errors_in_the_log
from kasparro.schemas.data import PaginatedResponse

pytestmark = pytest.mark.anyio

CATALOG = """
sources:
  articles:
    type: csv
    path: articles.csv
    key: id
    search: true
    language: {language}
  notes:
    type: csv
    path: notes.csv
    key: id
    search: {notes}
  quiet:
    type: csv
    path: articles.csv
    key: id
"""

ARTICLES = [
    {"id": "1", "title": "Airports of Iceland", "description": "Reykjavik and others"},
    {
        "id": "2",
        "title": "Harbours",
        "description": "There is an airport beside the harbour",
        "author": "Zoë",
    },
    {
        "id": "3",
        "title": "<b>Bold</b> & 'quoted' \"title\"",
        "content": "An <em onclick='x'>airport</em> & more",
    },
    {"id": "4", "title": "Nothing of the kind", "description": ""},
]


def as_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "title", "description", "content", "author"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "articles.csv").write_text(as_csv(ARTICLES))
    (tmp_path / "notes.csv").write_text(as_csv([{"id": "n", "title": "Airports"}]))
    return declare(tmp_path / "kasparro.yaml")


def declare(path: Path, language: str = "english", notes: str = "false") -> Path:
    path.write_text(CATALOG.format(language=language, notes=notes))
    return path


@pytest.fixture
async def searching(service):
    for source in ("articles", "notes", "quiet"):
        assert (await service.runtime.ingestion.ingest(source)).status == "success"
    return service


async def search(client, q: str, **more: str) -> dict:
    answer = await client.get("/data", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    PaginatedResponse.model_validate_json(answer.content, strict=True)
    return answer.json()


async def found(client, q: str, **more: str) -> list[str]:
    return [record["source_id"] for record in (await search(client, q, **more))["data"]]


async def test_records_come_by_how_well_they_answer(searching):
    body = await search(searching.client, "airport")

    assert [record["source_id"] for record in body["data"]] == ["1", "2", "3"]
    assert body["total_count"] == 3
    assert body["search"] == {"mode": "words", "sources": ["articles"]}


@pytest.mark.parametrize(
    ("q", "which"),
    [
        ("airport iceland", ["1"]),
        ("iceland or harbour", ["1", "2"]),
        ('"beside the harbour"', ["2"]),
        ("airport -harbour", ["1", "3"]),
        ("zoë", ["2"]),
        ("AIRPORTS", ["1", "2", "3"]),
    ],
)
async def test_the_words_can_be_combined(searching, q, which):
    assert sorted(await found(searching.client, q)) == which


async def test_where_the_words_stand_is_shown_and_nothing_else_is_markup(searching):
    records = {
        r["source_id"]: r["highlight"] for r in (await search(searching.client, "airport or bold"))["data"]
    }

    assert records["1"] == {"title": "<mark>Airports</mark> of Iceland"}
    assert records["2"] == {"description": "There is an <mark>airport</mark> beside the harbour"}
    assert (
        records["3"]["title"]
        == "&lt;b&gt;<mark>Bold</mark>&lt;/b&gt; &amp; &#39;quoted&#39; &quot;title&quot;"
    )
    assert "<mark>airport</mark>" in records["3"]["content"]
    assert re.findall("<[^>]*>", records["3"]["content"]) == ["<mark>", "</mark>"]


async def test_a_mark_in_a_record_is_no_mark_of_ours(searching, seed):
    with seed.connection as connection:
        connection.execute(
            "UPDATE normalized_data SET data = jsonb_set(data, '{title}', to_jsonb(E'\\x02<mark>\\x03Airports'::text))"
        )

    titles = [
        r["highlight"]["title"] for r in (await search(searching.client, "airports", limit="1"))["data"]
    ]

    assert titles == ["&lt;mark&gt;<mark>Airports</mark>"]


async def test_a_typo_finds_what_looks_like_it_and_says_so(searching):
    body = await search(searching.client, "Aiports of Icelnd")

    assert [record["source_id"] for record in body["data"]] == ["1"]
    assert body["search"]["mode"] == "similar"
    assert body["total_count"] == 1
    assert "highlight" not in body["data"][0]
    assert await found(searching.client, "Harburs") == ["2"]
    assert (await search(searching.client, "xylophone"))["data"] == []


async def test_an_empty_page_behind_the_last_hit_is_no_reason_to_look_for_something_else(searching):
    body = await search(searching.client, "iceland", offset="5")

    assert (body["data"], body["search"]["mode"], body["total_count"]) == ([], "words", 1)
    assert (await search(searching.client, "Iceland harbour", offset="5"))["search"]["mode"] == "similar"


async def test_a_search_can_be_filtered_sorted_counted_and_cut(searching):
    client = searching.client

    assert await found(client, "airport", **{"author[isnull]": "false"}) == ["2"]
    assert await found(client, "airport", sort="-source_id") == ["3", "2", "1"]
    body = await search(client, "airport", facets="source", fields="title", count="none")
    assert body["facets"] == {"source": [{"value": "articles", "count": 3}]}
    assert (list(body["data"][0]), body["total_count"]) == (["title", "highlight"], None)
    assert (await search(client, "airport", count="estimated"))["count"] == "estimated"


@pytest.mark.parametrize("more", [{}, {"source": "articles"}, {"sort": "title"}, {"sort": "-id"}], ids=str)
@pytest.mark.parametrize("q", ["airport", "Aiports"])
async def test_a_search_can_be_paged_through(searching, tmp_path, q, more):
    (tmp_path / "articles.csv").write_text(
        as_csv([{"id": str(n), "title": "Airports " * (1 + n % 3)} for n in range(25)])
    )
    await searching.runtime.ingestion.ingest("articles")
    whole = await found(searching.client, q, limit="100", **more)

    pages, cursor = [], None
    while True:
        body = await search(searching.client, q, limit="4", **more, **({"cursor": cursor} if cursor else {}))
        pages += [record["source_id"] for record in body["data"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break

    assert pages == whole
    assert len(set(whole)) == len(whole) >= 25


async def test_documents_are_written_with_their_records(searching, tmp_path):
    changed = [{**ARTICLES[0], "title": "Volcanoes"}, *ARTICLES[1:], {"id": "5", "title": "Volcano"}]
    (tmp_path / "articles.csv").write_text(as_csv(changed))
    await searching.runtime.ingestion.ingest("articles")

    assert sorted(await found(searching.client, "volcano")) == ["1", "5"]
    assert await found(searching.client, "iceland", source="articles") == []


async def test_a_deleted_record_takes_its_document_along(searching, seed):
    seed.connection.execute("DELETE FROM normalized_data WHERE source_id = '1'")

    assert seed.connection.execute("SELECT count(*) FROM record_search").fetchone() == (3,)


async def test_a_source_that_does_not_declare_search_has_no_documents(searching, seed):
    documents = seed.connection.execute(
        "SELECT DISTINCT d.source, n.source FROM record_search AS d JOIN normalized_data AS n ON id = record_id"
    ).fetchall()

    assert documents == [("articles", "articles")]


async def test_a_search_where_nothing_is_searched_is_refused(searching):
    problem = (await searching.client.get("/data?q=x&source=quiet")).json()

    assert (problem["status"], problem["parameter"]) == (422, "q")
    assert "search: true" in problem["hint"]
    assert (await search(searching.client, "airport", source="unheard_of"))["data"] == []


async def test_a_declaration_that_changes_is_followed_at_the_next_run(searching, serve, catalog, seed):
    """Words are told alike as declared; what was stored before is found too; the dataset version tells of it."""
    before = versions(seed.connection)
    declare(catalog, language="simple", notes="true")

    async with serve() as service:
        for source in ("articles", "notes"):
            await service.runtime.ingestion.ingest(source)
        assert await found(service.client, "airport") == ["2", "3"]
        assert sorted(await found(service.client, "airports")) == ["1", "n"]
        assert (await search(service.client, "airports"))["search"]["sources"] == ["articles", "notes"]
        assert versions(seed.connection) == {**before, "articles": 2, "notes": 2}

        await service.runtime.ingestion.ingest("notes")
        assert versions(seed.connection)["notes"] == 2

    declare(catalog)
    async with serve() as service:
        await service.runtime.ingestion.ingest("notes")
        await service.runtime.ingestion.ingest("articles")
        assert sorted(await found(service.client, "airport")) == ["1", "2", "3"]
    assert seed.connection.execute("SELECT count(*), min(language) FROM record_search").fetchone() == (
        4,
        "english",
    )


def versions(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT source, version FROM etl_checkpoint").fetchall())


async def test_documents_that_do_not_know_their_source_answer_all_the_same_and_are_made_again(
    serve, catalog, seed
):
    """Those of an earlier version: a migration does not wait for a million of them to be written again."""
    declare(catalog, notes="true")
    async with serve() as service:
        for source in ("articles", "notes"):
            await service.runtime.ingestion.ingest(source)
        seed.connection.execute("UPDATE record_search SET source = NULL")
        seed.connection.execute("UPDATE etl_checkpoint SET search_form = NULL")

        body = await search(service.client, "airports", source="notes", facets="source")
        assert [record["source_id"] for record in body["data"]] == ["n"]
        assert body["facets"] == {"source": [{"value": "notes", "count": 1}]}
        await service.runtime.ingestion.ingest("notes")

    sources = "SELECT source, count(*) FROM record_search GROUP BY 1 ORDER BY 1"
    assert seed.connection.execute(sources).fetchall() == [("notes", 1), (None, 4)]


async def test_sources_of_several_languages_are_searched_together(serve, catalog):
    declare(catalog, notes="true")
    async with serve() as service:
        for source in ("articles", "notes"):
            await service.runtime.ingestion.ingest(source)

        assert sorted(await found(service.client, "airports")) == ["1", "2", "3", "n"]
        assert sorted(await found(service.client, "airport")) == ["1", "2", "3"]


async def test_long_texts_are_searched_as_far_as_a_vector_holds_them(searching, tmp_path):
    words = " ".join(f"wörd{number:06}" for number in range(60_000))
    (tmp_path / "articles.csv").write_text(as_csv([{"id": "9", "title": "long", "content": words}]))

    report = await searching.runtime.ingestion.ingest("articles")

    assert (report.status, report.counters.inserted) == ("success", 1)
    assert await found(searching.client, "wörd000001") == ["9"]
    assert await found(searching.client, "wörd059999") == []


async def test_the_vector_of_a_text_of_usual_length_is_where_its_document_is(searching, tmp_path, seed):
    words = " ".join(f"wörd{number:03}" for number in range(400))
    (tmp_path / "articles.csv").write_text(as_csv([{"id": "9", "title": "long", "content": words}]))
    await searching.runtime.ingestion.ingest("articles")

    stored = seed.connection.execute(
        "SELECT max(pg_column_size(vector)), pg_relation_size((SELECT reltoastrelid FROM pg_class WHERE relname = 'record_search'))"
        " FROM record_search"
    ).fetchone()

    assert stored[0] > 2_500
    assert stored[1] == 0


async def test_nothing_hostile_is_syntax_to_a_search(searching, seed):
    more = ["(a+)+$" * 40, "a " * 150, "or or or", "- - -", '"' * 99, "a:b:c", "\\", "<->"]

    with errors_in_the_log(seed.connection) as errors:
        for text in [*HOSTILE, *more]:
            answer = await searching.client.get("/data", params={"q": text})
            assert answer.status_code in {200, 422}, (text, answer.text)

    assert errors == []
