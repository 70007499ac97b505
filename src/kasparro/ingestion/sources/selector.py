"""Where something stands in an answer: the `records` and `next` of a declaration, compiled once.

A plain path (`items`, `data.items`, `"odd name".rows`), and one into lists in lists (`orders[].lines[]`), is followed through the
text, so what it leads to stays verbatim. Any other JMESPath expression is evaluated: numbers keep their digits, but what it
selects is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from kasparro.core.errors import UnexpectedContent
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.flat_path import FlatPath, explode, flat_path
from kasparro.ingestion.sources.json_records import Document, Element

_STEP: Final = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
_PLAIN: Final = re.compile(rf"{_STEP}(?:\.{_STEP})*")


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled path; `names` when it is a plain one, `flat` when it goes into lists of lists."""

    text: str
    names: tuple[str, ...] | None
    expression: ParsedResult
    flat: FlatPath | None = None

    def part(self, answer: Document) -> bytes | None:
        """The text that the path leads to, `None` where there is nothing."""
        if self.names is None:
            found = self._evaluate(answer)
            return None if found is None else json_records.text_of(found)
        return answer.follow(self.names)

    def elements(self, answer: Document) -> list[Element] | None:
        """The elements of the array it leads to; `None` where there is nothing or something else."""
        if self.flat is not None:
            return explode(self.flat, answer)
        if self.names is None:
            found = self._evaluate(answer)
            return list(map(json_records.text_of, found)) if isinstance(found, list) else None
        text = answer.follow(self.names)
        return json_records.elements(text) if text is not None and json_records.is_array(text) else None

    def value(self, answer: Document) -> Any:
        if self.names is None:
            return self._evaluate(answer)
        text = answer.follow(self.names)
        return None if text is None else json_records.value(text)

    def _evaluate(self, answer: Document) -> Any:
        try:
            return self.expression.search(json_records.value(answer.text))
        except JMESPathError as error:
            message = f"the expression {self.text!r} does not fit the answer: {error}"
            raise UnexpectedContent(message) from error


def compile_selector(text: str, carry: Mapping[str, str] | None = None) -> Selector:
    """*carry*: what records in lists of lists take along, and where it stands."""
    names = None
    if _PLAIN.fullmatch(text):
        names = tuple(step.strip('"') for step in re.findall(_STEP, text))
    return Selector(text, names, jmespath.compile(text), flat_path(text, carry or {}))
