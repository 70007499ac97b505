"""Which points of the matrix are tried: a fair sample by default, all of them with KASPARRO_CRASH_POINTS=all.

The sample is the same everywhere for one seed, so that parallel test processes agree; KASPARRO_CRASH_SEED draws another.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

Point = TypeVar("Point")

ALL = os.environ.get("KASPARRO_CRASH_POINTS", "") == "all"
SEED = int(os.environ.get("KASPARRO_CRASH_SEED", "1"))


def chosen(points: Sequence[Point], at_most: int) -> list[Point]:
    if ALL or len(points) <= at_most:
        return list(points)
    picked = sorted(random.Random(SEED).sample(range(len(points)), at_most))
    return [points[index] for index in picked]
