"""What a section of the benchmark is: steps that are measured side by side, and what they are measured on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
    facts: Mapping[str, object]
    chains: Sequence[Chain]
    needed: Collection[str] = ()
    """Steps that others build on or are compared with: measured whenever any is."""
    once: bool = False
    """So long that it is measured once, without warming up."""

    def only(self, steps: Collection[str]) -> Section:
        """Of the chains, what is in *steps* or needed for it; all where none is named."""
        if not steps:
            return self
        kept = {*steps, *self.needed}
        chains = [replace(c, steps=tuple(s for s in c.steps if s.name in kept)) for c in self.chains]
        return replace(self, chains=[c for c in chains if c.steps])
