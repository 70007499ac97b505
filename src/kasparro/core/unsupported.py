"""What a catalog can declare and this version does not deliver yet. A source as written in, (place, name) pairs out.

It looks at what was written, not at the models, so that a source with other faults is told everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kasparro.core.yaml_tree import Place


def unsupported(source: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What *source* asks for that is not supported yet."""
    if source.get("type") == "stream":
        yield ("type",), "stream"
