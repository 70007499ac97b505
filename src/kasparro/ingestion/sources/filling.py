"""What a parent's record makes of its children's declaration: values in, the target that is asked for them out.

A value stands for itself and nothing more: it cannot change the origin, leave its place in the path, or add a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from kasparro.core.errors import SourceError
from kasparro.core.etl_config import CARRIED, PARENT_KEY, PLACEHOLDER, ApiSource, Parent
from kasparro.ingestion.sources import json_records
from kasparro.ingestion.sources.json_records import Document
from kasparro.ingestion.sources.selector import Selector, compile_selector
from kasparro.ingestion.sources.target import Target, target_of
from kasparro.schemas.ingest import ParentRecord

_LONGEST: Final = 1_000
"""Characters of a value: what identifies a parent is short, and a request line has an end."""

_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NOT_IN_A_HEADER: Final = re.compile(r"[^\x00-\xff]")
_SEPARATOR: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset({".", ".."})
_PATH: Final = re.compile(r"[^?]*")


class Unusable(Exception):
    """A parent whose values cannot be put into the request; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What is asked for the children of one parent, and what each of them carries of it, as a JSON object."""

    target: Target
    carried: bytes


class Filling:
    """The `parent` of a declaration, compiled once."""

    def __init__(self, declaration: ApiSource, parent: Parent) -> None:
        self._declared = declaration
        self._params = {name: compile_selector(text) for name, text in parent.params.items()}
        self._include = {name: compile_selector(text) for name, text in parent.include.items()}

    def of(self, parent: ParentRecord) -> Filled:
        """Raises `Unusable`."""
        try:
            document = json_records.read_document(parent.raw)
            values = {name: selector.value(document) for name, selector in self._params.items()}
            carried = _carried(parent, document, self._include)
        except SourceError as error:  # an expression that does not fit this record
            raise Unusable(error.message) from error
        texts = {name: _text(name, value) for name, value in values.items()}
        return Filled(target_of(self._filled(texts, values)), carried)

    def _filled(self, texts: Mapping[str, str], values: Mapping[str, Any]) -> ApiSource:
        plain = partial(_replaced, texts=texts)
        return self._declared.model_copy(
            update={
                "url": _url(self._declared.url, texts),
                "params": {
                    k: plain(v) if isinstance(v, str) else v for k, v in self._declared.params.items()
                },
                "headers": {k: _header(k, plain(v)) for k, v in self._declared.headers.items()},
                "body": _body(self._declared.body, texts, values),
            }
        )


def carrying(record: bytes, carried: bytes) -> bytes:
    """The text of a child *record*, an object, with what it has of its parent as the last member.

    What was received stays as it is: all of it but the closing brace stands at the beginning.
    """
    inside = record[1:-1] if record[:1] == b"{" and record[-1:] == b"}" else None
    if inside is None:
        return record  # no object: nothing to identify, and so rejected as it is
    comma = b"," if inside.strip() else b""
    return b'{%s%s"%s":%s}' % (inside, comma, CARRIED.encode(), carried)


def _carried(parent: ParentRecord, document: Document, include: Mapping[str, Selector]) -> bytes:
    found = {name: selector.part(document) or b"null" for name, selector in include.items()}
    found = {PARENT_KEY: json_records.text_of(parent.key), **found}
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in found.items()) + b"}"


def _text(name: str, value: Any) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = value
        case int() | Decimal():
            text = str(value)
        case None:
            raise Unusable(f"the parent has no value for {name!r}")
        case _:
            raise Unusable(f"the parent's value for {name!r} is neither text nor a number")
    if not text or len(text) > _LONGEST or _UNSENDABLE.search(text):
        raise Unusable(f"the parent's value for {name!r} is empty, too long or contains control characters")
    return text


def _replaced(template: str, texts: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: texts.get(found[1], found[0]), template)


def _url(template: str, texts: Mapping[str, str]) -> str:
    """Values are percent-encoded whole, so none has a `/`, `?`, `#` or `&` of its own."""
    encoded = {name: quote(text, safe="") for name, text in texts.items()}
    path = _PATH.match(template)
    in_path = PLACEHOLDER.findall(path[0]) if path else []
    filled = _replaced(template, encoded)
    climbing = any(_DOTS & set(_SEPARATOR.split(texts[name])) for name in in_path)
    if climbing or (in_path and _DOTS & set(_SEPARATOR.split(filled.partition("?")[0]))):
        raise Unusable("a value of the parent would lead to another path than the declared one")
    return filled


def _header(name: str, value: str) -> str:
    if _NOT_IN_A_HEADER.search(value):
        raise Unusable(f"a value of the parent contains a character that the header {name} cannot carry")
    return value.strip()


def _body(template: Any, texts: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """A text that is nothing but one placeholder becomes the value as it is: a number stays one."""
    match template:
        case str():
            whole = PLACEHOLDER.fullmatch(template)
            return values.get(whole[1], template) if whole else _replaced(template, texts)
        case dict():
            return {name: _body(inner, texts, values) for name, inner in template.items()}
        case list():
            return [_body(inner, texts, values) for inner in template]
        case _:
            return template
