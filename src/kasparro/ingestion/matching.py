"""The match keys of records: the rules of a source compiled, DataRecords in, `Matchable`s out. No I/O.

`prepare` and `replay` call it for what goes into the dataset. A key is a hash over the rule's fields and the normal forms of
their values, so records of different sources agree by what they say, and by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import blake2b

import msgspec

from kasparro.core.etl_config import SourceDeclaration
from kasparro.ingestion.match_keys import NORMAL_FORMS
from kasparro.schemas.ingest import Landed
from kasparro.schemas.matching import DIGEST_SIZE, Matchable, MatchKey

Match = Callable[[Iterable[Landed]], Sequence[Matchable]]


class Fields(msgspec.Struct, gc=False):
    """What rules may name, of a DataRecord's JSON text."""

    title: str | None = None
    description: str | None = None
    content: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    url: str | None = None
    category: str | None = None


_decode = msgspec.json.Decoder(Fields).decode


def matcher(declaration: SourceDeclaration) -> Match:
    """Compile the rules of a source; without any, nothing of it can be matched."""
    if declaration.entity is None:
        return lambda _landed: ()
    rules = [tuple(sorted(rule)) for rule in declaration.entity.match]
    names = ["+".join(rule) for rule in declaration.entity.match]
    used = sorted({field for rule in rules for field in rule})

    def one(landed: Landed, data: bytes) -> Matchable:
        fields = _decode(data)
        normal = {name: _normal(name, getattr(fields, name)) for name in used}
        keys = [
            MatchKey(name, _digest(rule, values))
            for name, rule in zip(names, rules, strict=True)
            if None not in (values := [normal[field] for field in rule])
        ]
        return Matchable(landed.keyed.external_id, tuple(keys))

    return lambda records: [one(landed, landed.data) for landed in records if landed.data is not None]


def _normal(name: str, value: str | datetime | None) -> str | None:
    return None if value is None else NORMAL_FORMS[name](value)


def _digest(rule: Sequence[str], values: Sequence[str | None]) -> bytes:
    told = "\0".join([*rule, *map(str, values)])  # a text of the dataset holds no \0
    return blake2b(told.encode(), digest_size=DIGEST_SIZE, person=b"match").digest()
