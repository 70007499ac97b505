from __future__ import annotations

import pytest

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources.answer_formats import without_guard


@pytest.mark.parametrize("guard", [b")]}',\n", b" )]}\n", b"while(1);", b"for (;;);", b""])
def test_what_guards_json_against_scripts_is_left_out(guard):
    assert without_guard(guard + b'[{"id": 1}]') == b'[{"id": 1}]'


@pytest.mark.parametrize(
    "call", [b"cb([1]);", b" \n/**/ a.b$c({})", b"/**/cb( [1])", b"\t_x\xa0"[:3] + b"([1])"]
)
def test_a_script_that_calls_a_function_is_refused(call):
    with pytest.raises(UnexpectedContent, match="JSONP"):
        without_guard(call)


def test_a_large_answer_of_blanks_is_looked_at_once():
    """It took hours, and all other sources of the process with it: a blank belonged to two parts of an expression."""
    blanks = b" " * 8_000_000
    assert without_guard(blanks + b"1") == blanks + b"1"
