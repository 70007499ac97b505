"""What the columns are called: names as received, made different from each other.

In: the cells of the header row, or how many columns there are. Out: one name for each. Called by `reading`.
"""

from __future__ import annotations

from collections.abc import Sequence


def numbered(count: int) -> tuple[str, ...]:
    """Name the columns of a file without a header: `column_1`, `column_2` ..."""
    return tuple(f"column_{number}" for number in range(1, count + 1))


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Give every column a name of its own.

    The first column with a name keeps it, later ones get `_2`, `_3` ... behind it; an empty name becomes `column_<n>`. A
    name that stands in the header is never taken away from its column.
    """
    taken = set(filter(None, names))
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    result = []
    for number, name in enumerate(names, 1):
        wanted = name or f"column_{number}"
        own = wanted if (name and name not in seen) or wanted not in taken else _free(wanted, taken, numbers)
        seen.add(own)
        taken.add(own)
        result.append(own)
    return tuple(result)


def _free(name: str, taken: set[str], numbers: dict[str, int]) -> str:
    """The next free name; *numbers* remembers how far the search came, or a name in every column would take for ever."""
    number = numbers.get(name, 2)
    while f"{name}_{number}" in taken:
        number += 1
    numbers[name] = number + 1
    return f"{name}_{number}"
