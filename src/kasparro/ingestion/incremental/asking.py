"""What is asked for: the moments of a slice in, the request with them in its query, a header or its body out."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import msgspec

from kasparro.core.etl_config import ApiSource, Incremental
from kasparro.core.moments import format_named
from kasparro.ingestion.http.query import with_query
from kasparro.ingestion.sources.target import Target

Value = str | int


class Asking:
    """Writes moments as the source wants them."""

    def __init__(self, declared: Incremental, source: ApiSource, base: Target) -> None:
        self._declared = declared
        self._base = base
        self._body = source.body
        self._write = format_named(declared.format).write

    def target(self, since: int | None, until: int | None) -> Target:
        """The request for what changed from *since* to *until*; nothing is said of a bound that there is not."""
        values = self._values(since, until)
        if not values:
            return self._base
        match self._declared.in_:
            case "query":
                pairs = [(name, str(value)) for name, value in values.items()]
                return replace(self._base, base=with_query(self._base.base, pairs))
            case "header":
                headers = {name: str(value) for name, value in values.items()}
                return replace(self._base, headers={**self._base.headers, **headers})
            case "body":
                return replace(self._base, body=msgspec.json.encode(self._filled(values)))

    def _values(self, since: int | None, until: int | None) -> dict[str, Value]:
        declared, values = self._declared, dict[str, Value]()
        if declared.param is not None and since is not None:
            values[declared.param] = self._value(since, until)
        if declared.end_param is not None and until is not None:
            values[declared.end_param] = self._write(until)
        return values

    def _value(self, since: int, until: int | None) -> Value:
        template = self._declared.template
        if template is None:
            return self._write(since)
        end = "" if until is None else str(self._write(until))
        return template.replace("{since}", str(self._write(since))).replace("{until}", end)

    def _filled(self, values: dict[str, Value]) -> Any:
        body: Any = copy.deepcopy(self._body) or {}
        for path, value in values.items():
            *outer, name = path.split(".")
            inside = body
            for part in outer:
                inside = inside.setdefault(part, {})
            inside[name] = value
        return body
