"""Rows made up from a seed: ids, names, a time, numbers of several widths, texts of which some need quotes, empty cells."""

from __future__ import annotations

import random
from collections.abc import Iterator

SEED = 2026
WORDS = 2000
COLUMNS = ["id", "name", "owner", "created_at", "kind", "tags", *(f"value_{n}" for n in range(14))]


def generated(count: int, start: int = 0) -> Iterator[list[str]]:
    """The same rows for the same *start*, every time."""
    random_ = random.Random(f"{SEED} {start}")  # noqa: S311  # made-up rows are no secret
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(random_.choices(letters, k=random_.randint(3, 9))) for _ in range(WORDS)]
    for number in range(start, start + count):
        yield [
            str(number),
            " ".join(random_.choices(words, k=3)),
            random_.choice(words),
            f"20{number % 25:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:00:00Z",
            random_.choice(("alpha", "beta", "gamma")),
            ", ".join(random_.choices(words, k=4)),
            *(str(random_.randint(0, 10**width)) for width in (2, 3, 4, 5, 6, 9)),
            *(f"{random_.uniform(-180, 180):.6f}" for _ in range(4)),
            *("" if random_.getrandbits(1) else random_.choice(words) for _ in range(4)),
        ]
