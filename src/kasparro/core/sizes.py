"""Numbers of bytes as people write them: `500MB`, `2GiB` or a number in, an `int` out. Called by the declarations."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_EXPECTED: Final = "must be a number of bytes such as 500MB, 2GiB or 1TiB"


def parse_size(value: Any) -> int:
    """Read `500MB` (powers of 1,000), `2GiB` (powers of 1,024), or a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[3] and not match[2]):
        raise ValueError(_EXPECTED)
    unit: int = (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
    return round(float(match[1]) * unit)


ByteSize = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([kmgtKMGT]i?)?[bB]?\s*$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
"""A field written as `2GiB`."""
