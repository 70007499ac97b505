"""Which sections there are, in their order, and which of them are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench import csv_section, growth, peer_runs, rest_section, stream_section
from bench.options import Options
from bench.sections import Place, Section


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    open: Callable[[Place], AbstractContextManager[Section]]
    steps: tuple[str, ...] = ()
    """Those that can be asked for by name: in the sections that are named too, else in all that have them."""


FLIGHTS = Entry("flights", csv_section.flights_section, (*csv_section.STEPS, *peer_runs.STEPS))
GENERATED = Entry("generated", csv_section.generated_section, csv_section.STEPS)
REST = Entry("rest", rest_section.rest_section, rest_section.STEPS)
GROWTH = Entry("growth", growth.growth_section)
STREAM = Entry("stream", stream_section.stream_section)
ENTRIES = (FLIGHTS, GENERATED, REST, GROWTH, STREAM)
NAMES = tuple(dict.fromkeys(name for entry in ENTRIES for name in (entry.name, *entry.steps)))


def asked_for(options: Options) -> Iterator[Entry]:
    """Without `--only` all but the long ones, which have options of their own."""
    named = [entry for entry in ENTRIES if entry.name in options.only]
    steps = options.only.difference(*([entry.name, *entry.steps] for entry in named))
    wanted = {
        GROWTH: options.growth,
        STREAM: options.stream_gib is not None,
    }
    for entry in ENTRIES:
        if entry in named or steps & set(entry.steps) or wanted.get(entry, not options.only):
            yield entry


def wants_peers(options: Options) -> bool:
    return options.peers or bool(options.only & set(peer_runs.STEPS))
