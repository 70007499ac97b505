"""Headers of a request put together: what is sent anyway, what is declared, what must be. Names do not know capital letters."""

from __future__ import annotations

from collections.abc import Mapping


def merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Later layers win, whatever their capital letters."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        found.update({name.lower(): (name, value) for name, value in layer.items()})
    return dict(found.values())
