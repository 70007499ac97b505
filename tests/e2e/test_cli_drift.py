"""`kasparro drift`: what has changed, and accepting it."""

import pytest

from cli_process import Kasparro

CATALOG = """
sources:
  airports:
    type: csv
    path: airports.csv
    drift: {policy}
"""


@pytest.fixture
def kasparro(tmp_path, database_url):
    return Kasparro(tmp_path, {"DATABASE_URL": database_url})


def write(kasparro, header, rows):
    lines = [header, *(f"{n},airport {n},X{n}" for n in rows)]
    (kasparro.folder / "airports.csv").write_text("\n".join([*lines, ""]))


def test_a_frozen_source_is_listed_accepted_and_goes_on(kasparro):
    kasparro.catalog(CATALOG.format(policy="freeze"))
    write(kasparro, "id,name,iata", range(9))
    kasparro.run("ingest")
    write(kasparro, "id,name,iata_code", range(9, 18))

    (frozen,) = kasparro.json("ingest", code=1)
    (drift,) = kasparro.json("drift", "list", "--source", "airports")
    shown = kasparro.run("drift", "list").stdout
    accepted = kasparro.run("drift", "accept", "airports", "iata").stdout
    (again,) = kasparro.json("ingest")

    assert (frozen["error_code"], frozen["status"]) == ("schema_frozen", "failed")
    assert "iata seems to be called iata_code now" in frozen["shape_changes"]
    assert (drift["field_path"], drift["kind"], drift["decision"]) == ("iata", "renamed", "frozen")
    assert "frozen" in shown
    assert "airports: accepted: iata seems to be called iata_code now" in accepted
    assert "`kasparro ingest airports` goes on after the last committed batch" in accepted
    assert (again["status"], again["records_inserted"]) == ("success", 9)


def test_quarantined_records_come_in_once_their_shape_is_accepted(kasparro):
    kasparro.catalog(CATALOG.format(policy="quarantine"))
    write(kasparro, "id,name,iata", range(9))
    kasparro.run("ingest")
    write(kasparro, "id,name,iata_code", range(9, 18))

    (first,) = kasparro.json("ingest", code=1)
    accepted = kasparro.run("drift", "accept", "airports", "--all").stdout
    (again,) = kasparro.json("normalize", "airports")

    assert (first["records_failed"], first["rejects"]) == (9, {"schema_drift": 9})
    assert "`kasparro normalize airports` tries the rejected records again" in accepted
    assert (again["status"], again["records_inserted"]) == ("success", 9)
    assert "nothing waits to be accepted" in kasparro.run("drift", "accept", "airports", "--all").stdout


def test_what_is_to_be_accepted_must_be_named_and_there(kasparro):
    kasparro.catalog(CATALOG.format(policy="freeze"))

    unnamed = kasparro.run("drift", "accept", "airports")
    unknown = kasparro.run("drift", "accept", "airports", "nothing")

    assert (unnamed.returncode, unknown.returncode) == (2, 1)
    assert "kasparro drift accept airports --all" in unnamed.stderr
    assert "nothing of 'nothing' waits to be accepted in source 'airports'" in unknown.stderr
