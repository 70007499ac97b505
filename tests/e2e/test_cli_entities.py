"""`kasparro entities`: what is the same thing, and deciding it."""

import pytest

from cli_process import Kasparro

CATALOG = """
sources:
  library:
    type: csv
    path: library.csv
    {library}
  shop:
    type: csv
    path: shop.csv
    entity: {{match: [[url], [title, author]]}}
"""
RULES = "entity: {match: [[url], [title, author]]}"


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(tmp_path, {"DATABASE_URL": database_url})


def write(kasparro, file, *rows):
    (kasparro.folder / file).write_text("\n".join(["id,title,author,url", *rows, ""]))


def test_records_are_matched_and_an_operator_has_the_last_word(kasparro):
    kasparro.catalog(CATALOG.format(library=RULES))
    write(kasparro, "library.csv", "1,One,A,https://b.example/1", "2,Two,B,https://b.example/2")
    write(kasparro, "shop.csv", "x,ONE,a,", "y,Two,B,https://b.example/1")
    kasparro.run("ingest", "library")
    kasparro.run("ingest", "shop")  # where records disagree, the order decides which of them is in conflict

    (matched,) = kasparro.json("entities", "list", "--matched")
    (torn,) = kasparro.json("entities", "list", "--conflicts")
    table = kasparro.run("entities", "list", "--conflicts").stdout
    (two,) = [e for e in kasparro.json("entities", "list") if e["id"] not in {matched["id"], torn["id"]}]
    merged = kasparro.json("entities", "merge", two["id"], torn["id"])
    shown = kasparro.run("entities", "show", torn["id"]).stdout
    named = kasparro.json("entities", "show", "shop:y")
    split = kasparro.json("entities", "split", matched["id"], "shop:x")

    assert [(r["source"], r["source_id"], r["method"]) for r in matched["records"]] == [
        ("library", "1", "first"),
        ("shop", "x", "title+author"),
    ]
    assert torn["records"][0]["conflict"] == {"url": [matched["id"]], "title+author": [two["id"]]}
    assert torn["id"] in table
    assert (merged["id"], merged["record_count"]) == (two["id"], 2)
    assert f"entity {two['id']}: 2 records" in shown
    assert "operator" in shown
    assert named == merged
    assert [r["source_id"] for r in split["records"]] == ["x"]
    assert kasparro.json("entities", "list", "--conflicts") == []
    assert kasparro.json("entities", "list", "--after", split["id"]) == []


def test_what_was_loaded_before_is_linked_by_normalize(kasparro):
    kasparro.catalog(CATALOG.format(library="enabled: true"))
    for file in ("library.csv", "shop.csv"):
        write(kasparro, file, "1,One,A,https://b.example/1")
    kasparro.run("ingest")
    kasparro.catalog(CATALOG.format(library=RULES))

    kasparro.run("normalize", "library")

    (matched,) = kasparro.json("entities", "list")
    assert matched["record_count"] == 2


def test_what_is_not_there_is_said(kasparro):
    kasparro.catalog(CATALOG.format(library=RULES))
    write(kasparro, "library.csv", "1,One,A,https://b.example/1")
    write(kasparro, "shop.csv", "1,Other,A,https://b.example/2")
    kasparro.run("ingest")
    listed = kasparro.json("entities", "list")
    entity = next(e["id"] for e in listed if e["records"][0]["source"] == "library")

    unknown = kasparro.run("entities", "show", "1")
    unlinked = kasparro.run("entities", "show", "shop:7")
    other = kasparro.run("entities", "split", entity, "shop:1")
    unreadable = kasparro.run("entities", "split", entity, "shop")
    after = kasparro.run("entities", "list", "--after", "1")

    assert [ended.returncode for ended in (unknown, unlinked, other, unreadable, after)] == [1, 1, 1, 2, 2]
    assert "there is no entity '1'" in unknown.stderr
    assert "record shop:7 is linked to no entity" in unlinked.stderr
    assert f"entity {entity} has no record shop:1" in other.stderr
    assert f"kasparro entities show {entity}" in other.stderr
    assert "'shop' names no record" in unreadable.stderr
    assert "--after '1' is not the id of an entity" in after.stderr
