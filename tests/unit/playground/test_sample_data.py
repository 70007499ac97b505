"""The committed data is what data/README.md says it is."""

import csv
import gzip
import hashlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = ROOT / "src" / "kasparro" / "playground" / "data"
FILES = {
    "src/kasparro/playground/data/ourairports.csv.gz": ("ident", 18),
    "src/kasparro/playground/data/airportsdata.csv.gz": ("icao", 11),
    "data/faa_airports.csv": ("faa", 8),
}
ALL = pytest.mark.parametrize("file", FILES)


@pytest.fixture(scope="module")
def documented():
    """From the tables of the README: file -> (rows, sha256 of the file), and file -> sha256 of its text."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    texts = re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    return {name: (int(rows.replace(",", "")), digest) for name, rows, digest in files}, dict(texts)


def content(file):
    raw = (ROOT / file).read_bytes()
    return gzip.decompress(raw) if file.endswith(".gz") else raw


def rows(file):
    return list(csv.DictReader(io.StringIO(content(file).decode(), newline="")))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_every_file_is_documented_and_every_documented_file_exists(documented):
    files, texts = documented

    assert set(files) == set(FILES)
    assert set(texts) == {file for file in FILES if file.endswith(".gz")}


@ALL
def test_row_counts_and_hashes_are_as_documented(file, documented):
    files, texts = documented

    assert files[file] == (len(rows(file)), sha256((ROOT / file).read_bytes()))
    assert texts.get(file, sha256(content(file))) == sha256(content(file))


@ALL
def test_keys_are_unique_and_never_empty(file):
    key, columns = FILES[file]
    keys = [row[key] for row in rows(file)]

    assert all(keys)
    assert len(set(keys)) == len(keys)
    assert {len(row) for row in rows(file)} == {columns}


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".gz")])
def test_compressed_files_carry_neither_a_time_nor_a_name(file):
    header = (ROOT / file).read_bytes()[:10]

    assert header[3] == 0
    assert header[4:8] == bytes(4)


def test_the_subsets_are_those_that_are_documented():
    kept = rows("src/kasparro/playground/data/ourairports.csv.gz")

    assert all(
        row["type"] in {"large_airport", "medium_airport"} or row["scheduled_service"] == "yes"
        for row in kept
    )
    assert all(row["iata"] for row in rows("src/kasparro/playground/data/airportsdata.csv.gz"))


def test_the_notice_of_airportsdata_travels_with_its_data():
    notice = (BUNDLED / "LICENSE-airportsdata.txt").read_text(encoding="utf-8")

    assert "The MIT License" in notice
    assert "Mike Borsetti" in notice
    assert "mwgg" in notice
