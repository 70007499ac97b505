from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasparro.core.errors import TruncatedContent
from kasparro.core.etl_config import CsvAnswers
from kasparro.ingestion.sources.csv_rows import CsvRows
from kasparro.ingestion.sources.json_records import Flaw
from kasparro.schemas.ingest import RejectReason

CELLS = st.text(alphabet='ab,;"\n\r é', max_size=6)


def read(text, cuts=(), *, framed=True, **declared):
    rows = CsvRows(CsvAnswers(**declared), framed=framed)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += rows.feed(text[start:end])
    return found + rows.end()


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=10), st.sampled_from([1, 1000]), st.data())
def test_rows_are_those_of_the_csv_module_however_they_are_cut(rows, times, data):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("id", "b", "c"), *rows * times])
    text = out.getvalue().encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    found = [json.loads(element) for element in read(text, cuts, delimiter=",")]
    assert found == [{"id": a or None, "b": b or None, "c": c or None} for a, b, c in rows * times]


def test_the_dialect_is_found_out_or_declared():
    assert read(b"id;name\n1;a\n") == [b'{"id":"1","name":"a"}']
    assert read(b"1|'x|y'\n", header=["id", "n"], delimiter="|", quotechar="'") == [b'{"id":"1","n":"x|y"}']
    assert read(b"junk\nid,n\n# no\n1,NULL\n", skip_rows=1, comment="#", null_values=["NULL"]) == [
        b'{"id":"1","n":null}'
    ]
    assert read(b"id,n\n1\n", ragged="pad") == [b'{"id":"1","n":null}']


def test_a_bad_row_is_one_flaw():
    first, bad, last = read(b"id,n\n1,a\n2\n3,c\n")
    assert (first, last) == (b'{"id":"1","n":"a"}', b'{"id":"3","n":"c"}')
    assert isinstance(bad, Flaw)
    assert bad.reason == RejectReason.RAGGED_ROW


def test_no_rows_and_nothing_at_all_are_no_records():
    assert read(b"id,n\n") == read(b"") == []


@pytest.mark.parametrize("text", [b"", b"id,n\n1,a", b'id,n\n1,"a'])
def test_what_may_have_been_cut_is_never_the_end(text):
    with pytest.raises(TruncatedContent):
        read(text, framed=False)
    assert len(read(text, framed=True)) == (1 if text else 0)
