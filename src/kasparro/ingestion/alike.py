"""Rejects that are alike told apart: those of a batch in, the same with their number among equal ones out. Called by `prepare`.

A row of a file that has no identity is known by its content. Two that are equal are two rejects, each with its place; their
numbers follow from their order, so that the next run over the file finds them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kasparro.schemas.ingest import FileOrigin, Reject

MOST: Final = 100_000
"""Different rejects that are remembered, in some 10 MB. Equal ones among the others are one."""


class AlikeRejects:
    """Counts the rejects of one attempt of a run, batch after batch."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._met: dict[int, int] = {}

    def numbered(self, rejects: Sequence[Reject]) -> list[Reject]:
        """Return *rejects*, those of files that have no identity with how many equal ones there were before."""
        return [self._numbered(reject) for reject in rejects]

    def _numbered(self, reject: Reject) -> Reject:
        if reject.external_id is not None or not isinstance(reject.origin, FileOrigin):
            return reject
        content = hash(reject.payload)
        before = self._met.get(content)
        if before is None:
            if len(self._met) < self._most:
                self._met[content] = 0
            return reject
        self._met[content] = before + 1
        return replace(reject, repeat=before + 1)
