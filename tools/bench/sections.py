"""What a section of the benchmark is: steps that are measured side by side, and what they are measured on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.data import Dataset
from bench.measuring import Chain
from bench.server import Server


@dataclass(frozen=True, slots=True)
class Place:
    """Where a section does its work, and how large it is to be."""

    server: Server
    folder: Path
    rows: int
    """The most rows of a file and records of an API."""
    peers: Callable[[Dataset], Sequence[Chain]]
    stream_gib: float


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    facts: dict[str, object]
    chains: Sequence[Chain]
    needed: Collection[str] = field(default=())
    """Steps that others build on or are compared with: measured whenever any is."""

    def only(self, steps: Collection[str]) -> Section:
        """Of the chains, what is in *steps* or needed for it; all where none is named."""
        if not steps:
            return self
        kept = {*steps, *self.needed}
        chains = [replace(c, steps=tuple(s for s in c.steps if s.name in kept)) for c in self.chains]
        return replace(self, chains=[c for c in chains if c.steps])
