"""Batches compared with the accepted shape, under each policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.etl_config import ApiSource, CsvSource, SingerSource
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.drift.accepting import accept_all
from kasparro.ingestion.drift.observing import first_of_each_file
from kasparro.ingestion.drift.shape import DEEPEST, load
from kasparro.ingestion.prepare import Recipe, identify
from kasparro.schemas.drift import Decision, DriftKind
from kasparro.schemas.ingest import ApiOrigin, FileOrigin, Keyed, RawRecord, StreamOrigin

ADDED, MISSING, RENAMED = DriftKind.ADDED, DriftKind.MISSING, DriftKind.RENAMED


def api(policy="evolve"):
    return ApiSource(name="s", url="http://h.example/items", drift=policy)


def table(policy="evolve", **more):
    return CsvSource(name="s", folder=Path(), path="x.csv", key=["id"], drift=policy, **more)


def tap(policy="evolve"):
    return SingerSource(name="s", folder=Path(), command=["tap"], drift=policy)


def json_records(rows):
    return [RawRecord(json.dumps(row).encode(), ApiOrigin("http://h", 1, at)) for at, row in enumerate(rows)]


def csv_records(rows, file="x.csv"):
    return [
        RawRecord(json.dumps(row).encode(), FileOrigin(file, at, at + 1, at + 2))
        for at, row in enumerate(rows)
    ]


def repository(n, **changed):
    record = {
        "id": n,
        "full_name": f"owner/name {n}",
        "stars": n * 7,
        "owner": {"login": f"user{n}"},
        "tags": [],
    }
    return {name: value for name, value in (record | changed).items() if value is not ...}


class Source:
    """Runs of one source, one after the other; what the database would keep is kept here."""

    def __init__(self, declaration):
        self.declaration = declaration
        self.stored = None
        self.ledger = []

    def run(self, *batches, complete=True):
        """What each run's batches are found to be; the steps of all but frozen ones are 'committed'."""
        recipe = Recipe.of(self.declaration).following(self.stored)
        found = []
        for at, records in enumerate(batches):
            haul = Haul(records, [], None, complete=complete and at == len(batches) - 1)
            watched = identify(recipe, haul).watched
            self.stored = watched.step.shape or self.stored
            found.append(watched)
            if watched.frozen:
                break
        self.recipe = recipe
        return found

    def drifts(self, *batches):
        return [drift for watched in self.run(*batches) for drift in watched.step.drifts]

    def told(self, *batches):
        return [(drift.field, drift.kind.value) for drift in self.drifts(*batches)]


def learned(declaration, rows, records=json_records):
    source = Source(declaration)
    assert source.told(records(rows)) == []
    return source


FIRST = [repository(n) for n in range(40)]


def test_the_first_complete_fetch_makes_the_shape_and_no_difference():
    source = Source(api())

    source.run(json_records(FIRST[:10]), complete=False)
    assert not load(source.stored).complete
    source.run(json_records([repository(1, extra=1)]))

    shape = load(source.stored)
    assert shape.complete
    assert {name: known.always for name, known in shape.nodes[""].fields.items()} == {
        "id": True,
        "full_name": True,
        "stars": True,
        "owner": True,
        "tags": True,
        "extra": False,
    }
    assert shape.nodes["owner"].fields["login"].kinds == {"text": 1}


def test_what_looks_like_before_adds_nothing_and_stores_nothing():
    source = learned(api(), FIRST)

    (watched,) = source.run(json_records(FIRST[::-1]))

    assert not watched.step
    assert watched.notices == ()


def test_one_record_in_a_thousand_with_a_field_of_its_own_is_found_with_its_place():
    source = learned(api(), FIRST)
    rows = [repository(n) for n in range(1000)]
    rows[777] = repository(777, homepage="https://h.example")

    (drift,) = source.drifts(json_records(rows))

    assert (drift.field, drift.kind, drift.confidence) == ("homepage", ADDED, 1.0)
    assert drift.example == {"place": "http://h page 1 record 777", "value": "https://h.example"}


def test_a_field_that_all_had_and_some_lack_is_missing():
    source = learned(api(), FIRST)
    rows = [repository(n) for n in range(1000)]
    rows[500] = repository(500, stars=...)

    (drift,) = source.drifts(json_records(rows))

    assert (drift.field, drift.kind) == ("stars", MISSING)
    assert drift.before == {"presence": "always", "types": ["number"]}
    assert drift.after == {"presence": "sometimes"}
    assert source.told(json_records(rows)) == []


def test_a_field_that_none_has_any_more_is_gone_and_may_come_back():
    source = learned(api(), FIRST)

    (drift,) = source.drifts(json_records([repository(n, stars=...) for n in range(20)]))

    assert (drift.field, drift.after) == ("stars", {"presence": "never"})
    assert source.told(json_records(FIRST)) == []
    assert source.told(json_records([repository(n, stars=...) for n in range(20)])) == []


def test_names_that_take_turns_are_told_once_each():
    source = learned(api(), FIRST)
    rows = [repository(n, full_name=..., name=f"owner/name {n}") for n in range(40)]

    assert source.told(json_records(rows)) == [("full_name", "renamed")]
    assert source.told(json_records(FIRST)) == [("name", "renamed")]
    assert source.told(json_records(rows), json_records(FIRST), json_records(rows + FIRST)) == []


def test_a_field_that_only_some_had_is_missed_when_enough_should_have_had_it():
    rows = [repository(n, **({"fork": True} if n % 2 else {})) for n in range(40)]
    source = learned(api(), rows)

    assert source.told(json_records(FIRST[:6])) == []
    assert source.told(json_records(FIRST)) == [("fork", "missing")]


def test_a_renamed_field_is_recognised_and_told_first():
    source = learned(api(), FIRST)
    rows = [repository(n, full_name=..., name=f"owner/name {n}", archived=False) for n in range(40)]

    (watched,) = source.run(json_records(rows))

    added, renamed = sorted(watched.step.drifts, key=lambda drift: drift.kind.value)
    assert (added.field, renamed.field) == ("archived", "full_name")
    assert (renamed.before["field"], renamed.after["field"]) == ("full_name", "name")
    assert renamed.confidence > 0.8
    (notice,) = watched.notices
    assert "has changed: full_name seems to be called name now" in notice.message
    assert source.told(json_records(rows)) == []


def test_a_rename_in_the_middle_of_a_batch_is_one_too():
    source = learned(api(), FIRST)
    rows = FIRST[:20] + [repository(n, full_name=..., name=f"owner/name {n}") for n in range(20, 40)]

    assert source.told(json_records(rows)) == [("full_name", "renamed")]


def test_a_field_beside_the_old_one_is_new_not_renamed():
    source = learned(api(), FIRST)
    rows = [repository(n, name=f"owner/name {n}") for n in range(40)]
    rows[3] = repository(3, full_name=...)

    assert sorted(source.told(json_records(rows))) == [("full_name", "missing"), ("name", "added")]


@given(st.sampled_from(["full_name", "stars", "owner", "tags"]), st.integers(0, 39))
def test_every_rename_that_keeps_the_values_and_most_of_the_name_is_recognised(name, start):
    source = learned(api(), FIRST)
    rows = [
        repository(n, **{name: ..., f"new_{name}": FIRST[n][name]} if n >= start else {}) for n in range(40)
    ]

    assert (name, "renamed") in source.told(json_records(rows))


def test_another_kind_of_value_is_a_change_of_type_and_null_is_none():
    source = learned(api(), FIRST)

    assert source.told(json_records([repository(n, stars=None) for n in range(3)])) == []
    assert source.told(json_records([repository(n, stars=1.5) for n in range(3)])) == []
    (drift,) = source.drifts(json_records([repository(n, stars="many") for n in range(3)]))

    assert (drift.field, drift.kind) == ("stars", DriftKind.TYPE_CHANGED)
    assert (drift.before, drift.after) == ({"types": ["number"]}, {"types": ["text"]})
    assert drift.example["value"] == "many"


def test_a_field_that_is_suddenly_mostly_null_is_a_null_rate():
    source = learned(api(), FIRST)
    few = [repository(n, stars=None if n % 4 == 0 else n) for n in range(40)]
    most = [repository(n, stars=None if n % 4 else n) for n in range(60)]

    assert source.told(json_records(few)) == []
    (drift,) = source.drifts(json_records(most), json_records(most), json_records(most))

    assert (drift.field, drift.kind) == ("stars", DriftKind.NULL_RATE)
    assert (drift.before, drift.after) == ({"nulls": 0.0}, {"nulls": 0.8})
    assert source.told(json_records(most), json_records(most), json_records(most)) == []


def test_what_is_within_a_record_is_found_by_its_path():
    rows = [repository(n, items=[{"price": n}, {"price": n}]) for n in range(20)]
    source = learned(api(), rows)
    changed = [
        repository(n, items=[{"price": "x", "n": 1}], owner={"login": "u", "a.b": 1}) for n in range(20)
    ]

    assert sorted(source.told(json_records(changed))) == [
        ("items[].n", "added"),
        ("items[].price", "type_changed"),
        ('owner."a.b"', "added"),
    ]


def test_names_that_are_data_are_not_followed_for_ever():
    source = learned(api(), [repository(n, by_day={f"day {n}": n}) for n in range(20)])
    days = [repository(n, by_day={f"day {n}": n}) for n in range(1000, 1200)]

    found = [source.told(json_records(days[at : at + 8])) for at in range(0, 200, 8)]

    assert ("by_day.*", "added") in [one for run in found for one in run]
    assert found[-1] == []


def test_a_field_may_be_called_like_all_of_them():
    source = learned(api(), FIRST)

    assert source.told(json_records([{**FIRST[0], "*": 1}])) == [('"*"', "added")]
    assert source.told(json_records([{**FIRST[0], "*": 1, "other": 1}])) == [("other", "added")]


def test_streams_of_a_tap_have_shapes_of_their_own():
    def records(stream, rows):
        return [
            RawRecord(json.dumps(row).encode(), StreamOrigin(stream, at), 0, ("id",))
            for at, row in enumerate(rows)
        ]

    source = Source(tap())
    users, orders = records("users", [{"id": 1, "name": "a"}]), records("orders", [{"id": 1, "total": 5}])
    assert source.told([*users, *orders]) == []

    assert source.told(users, orders) == []
    assert source.told(records("orders", [{"id": 1, "total": 5, "tax": 1}]) + users) == [
        ("orders:tax", "added")
    ]


def test_one_record_of_a_tap_in_a_thousand_is_found_too():
    def users(**changed):
        rows = [{"id": n} | (changed if n == 777 else {}) for n in range(1000)]
        return [RawRecord(json.dumps(row).encode(), StreamOrigin("users", n)) for n, row in enumerate(rows)]

    source = learned(tap(), users(), list)

    assert source.told(users(age=5)) == [("users:age", "added")]


def test_a_run_tells_of_a_difference_once_though_it_stays_one():
    source = learned(api("quarantine"), FIRST)
    odd = json_records([repository(1, extra=1)])

    found = source.run(odd, odd, json_records([repository(1, extra=1, more=1)]))

    assert [[drift.field for drift in watched.step.drifts] for watched in found] == [["extra"], [], ["more"]]
    assert "extra is new (number); more is new (number)" in found[-1].notices[0].message


CELLS = [{"id": str(n), "name": f"airport {n}", "lat": f"{n}.5", "open": "true"} for n in range(40)]


def test_the_header_of_every_file_is_looked_at():
    source = learned(table(), CELLS, csv_records)
    other = csv_records([row | {"iata": "ORD"} for row in CELLS[:1]], "y.csv")

    (drift,) = source.drifts([*csv_records(CELLS), *other, *csv_records(CELLS, "z.csv")])

    assert (drift.field, drift.kind, drift.example["place"]) == ("iata", ADDED, str(other[0].origin))


@given(st.lists(st.integers(1, 9), max_size=12))
def test_one_record_of_each_file_is_found(sizes):
    files = [csv_records([{"id": "1"}] * size, f"{number}.csv") for number, size in enumerate(sizes)]
    everything = [record for file in files for record in file]

    assert list(first_of_each_file(everything)) == [file[0] for file in files]


def test_a_column_is_of_another_type_when_enough_cells_are():
    source = learned(table(), CELLS, csv_records)

    assert source.told(csv_records([row | {"lat": "unknown"} for row in CELLS[:1]] + CELLS[1:8])) == []
    assert source.told(csv_records([row | {"lat": "unknown"} for row in CELLS[:8]])) == [
        ("lat", "type_changed")
    ]
    assert source.told(csv_records([row | {"name": "5"} for row in CELLS])) == [], "text has anything in it"


def test_renamed_columns_and_empty_cells_are_told():
    source = learned(table(null_values=["", "NA"]), CELLS, csv_records)
    rows = [{"id": row["id"], "airport": row["name"], "lat": "NA", "open": row["open"]} for row in CELLS]

    assert sorted(source.told(csv_records(rows), csv_records(rows), csv_records(rows))) == [
        ("lat", "null_rate"),
        ("name", "renamed"),
    ]


@pytest.mark.parametrize(
    ("departing", "field", "what"),
    [
        (repository(1, homepage="x"), "homepage", "is a field of its own"),
        (repository(1, stars=...), "stars", "is missing"),
        (repository(1, stars="many"), "stars", "is text, not number"),
        (repository(1, owner={"login": "u", "age": 1}), "owner.age", "is a field of its own"),
        (repository(1, owner={}), "owner.login", "is missing"),
    ],
)
def test_under_quarantine_only_what_departs_is_rejected_until_it_is_accepted(departing, field, what):
    source = learned(api("quarantine"), FIRST)
    fine = json_records([repository(2), repository(3, stars=None)])
    odd = json_records([departing])[0]

    for _ in range(2):
        (watched,) = source.run([odd, *fine])
        rejects = [source.recipe.watch.departure(Keyed("k", b"", record)) for record in [odd, *fine]]

        assert [drift.field for drift in watched.step.drifts] == [field]
        assert watched.step.decision is Decision.QUARANTINED
        assert (rejects[0].field, rejects[1:]) == (field, [None, None])
        assert what in rejects[0].message
        assert "kasparro drift accept s" in rejects[0].message

    source.stored = accept_all(source.stored, views(watched.step.drifts))
    assert source.told([odd, *fine]) == []
    assert source.recipe.watch.departure(Keyed("k", b"", odd)) is None


def views(drifts):
    class View:
        def __init__(self, drift):
            self.field_path, self.kind, self.after = drift.field, drift.kind, drift.after

    return [View(drift) for drift in drifts]


def test_under_freeze_the_batch_is_not_to_be_committed_until_it_is_accepted():
    source = learned(api("freeze"), FIRST)
    before = source.stored
    rows = json_records([repository(n, full_name=..., name=f"owner/name {n}") for n in range(40)])

    (watched,) = source.run(rows)

    assert watched.frozen
    assert source.stored == before
    source.stored = accept_all(source.stored, views(watched.step.drifts))
    (after,) = source.run(rows)
    assert not after.frozen
    assert load(source.stored).nodes[""].fields["name"].kinds == {"text": 1}


def test_a_source_that_is_put_under_a_stricter_policy_has_one_run_to_learn_in_full():
    source = learned(api(), [repository(n) for n in range(3000)])
    rows = [
        repository(n, owner={"login": "u", "rare": 1} if n == 1501 else {"login": "u"}) for n in range(3000)
    ]
    source.declaration = api("freeze")

    (watched,) = source.run(json_records(rows))

    assert watched.step.decision is Decision.EVOLVED
    assert [drift.field for drift in watched.step.drifts] == ["owner.rare"]
    (again,) = source.run(json_records([repository(1, owner={"login": "u", "age": 1})]))
    assert again.frozen


def test_a_source_that_is_of_another_type_now_begins_anew():
    source = learned(table(), CELLS, csv_records)
    source.declaration = api("freeze")

    assert source.told(json_records(FIRST)) == []
    assert source.run(json_records([repository(1, extra=1)]))[0].frozen


def test_rows_of_a_file_with_another_header_depart():
    source = learned(table("quarantine"), CELLS, csv_records)
    odd = csv_records([row | {"iata": "ORD"} for row in CELLS[:1]], "y.csv")
    source.run(odd)

    assert source.recipe.watch.departure(Keyed("k", b"", odd[0])).field == "iata"
    assert source.recipe.watch.departure(Keyed("k", b"", csv_records(CELLS)[0])) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
records_of_anything = st.lists(
    st.dictionaries(st.text(max_size=5) | st.sampled_from(["a", "b", "\0", "x.y"]), anything, max_size=5),
    max_size=8,
)


@given(records_of_anything, records_of_anything, st.sampled_from(["evolve", "quarantine"]))
def test_whatever_comes_is_told_once_and_is_the_shape_after_that(first, second, policy):
    source = learned(api(policy), first)
    found = source.drifts(json_records(second))
    if policy == "quarantine":
        source.stored = source.stored and accept_all(source.stored, views(found))

    for _ in range(DEEPEST):  # what is within a renamed field is compared once it has its name
        again = source.drifts(json_records(second))

    assert again == [] or policy == "quarantine"
    assert source.stored is None or "\\u0000" not in source.stored.decode().replace("\\\\u0000", "")
