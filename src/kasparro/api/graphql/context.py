"""What the fields of one operation share: what serves the process, who asks, and what was looked up already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from kasparro.api.exchange import Exchange
from kasparro.api.feed import Feed
from kasparro.api.operation import list_of_sources
from kasparro.api.reader import Reader
from kasparro.runtime import Runtime
from kasparro.schemas.data import SourceView
from kasparro.schemas.entities import Entity
from kasparro.schemas.lineage import Lineage
from kasparro.storage.entities.linked_records import LinkedPage, LinkedRecord

T = TypeVar("T")

AT_ONCE: Final = 2
"""Connections that one operation may use at a time, however many fields it asks for."""


@dataclass(slots=True)
class Context:
    """`admitted` raises when whoever asks may not do so any more. `reader` is the task that sends what is followed."""

    runtime: Runtime
    records: Reader
    feed: Feed
    exchange: Exchange
    admitted: Callable[[], Awaitable[None]]
    reader: asyncio.Task[None] | None = None
    check_seconds: float = 15.0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    lineages: DataLoader[int, Lineage | None] = field(init=False)
    sources: DataLoader[str, SourceView | None] = field(init=False)
    entities: DataLoader[int, Entity | None] = field(init=False)
    """Of records, by their numbers."""
    linked_records: DataLoader[tuple[str, LinkedPage], list[LinkedRecord]] = field(init=False)

    def __post_init__(self) -> None:
        self.lineages = DataLoader(self._lineages)
        self.sources = DataLoader(self._sources)
        self.entities = DataLoader(self._entities)
        self.linked_records = DataLoader(self._linked_records)

    def forget(self) -> None:
        """Whatever was looked up may be another by now."""
        for loader in (self.lineages, self.sources, self.entities, self.linked_records):
            loader.clear_all()

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to what needs the database, asked when it is this operation's turn."""
        async with self.turns:
            return await question()

    async def _lineages(self, record_ids: list[int]) -> Sequence[Lineage | None]:
        found = await self.ask(lambda: self.runtime.lineage.of_each(record_ids))
        return [found.get(record_id) for record_id in record_ids]

    async def _sources(self, names: list[str]) -> Sequence[SourceView | None]:
        found = {
            view.name: view for view in await self.ask(lambda: list_of_sources(self.runtime, self.records))
        }
        return [found.get(name) for name in names]

    async def _entities(self, record_ids: list[int]) -> Sequence[Entity | None]:
        found = await self.ask(lambda: self.runtime.entities.of_records(record_ids))
        return [found.get(record_id) for record_id in record_ids]

    async def _linked_records(self, asked: list[tuple[str, LinkedPage]]) -> Sequence[list[LinkedRecord]]:
        """One statement for each field of the document that asks: it asks every entity for the same page."""
        of_page: dict[LinkedPage, list[str]] = {}
        for entity, page in asked:
            of_page.setdefault(page, []).append(entity)
        answers = await asyncio.gather(*(self._of_each(entities, page) for page, entities in of_page.items()))
        found = dict(zip(of_page, answers, strict=True))
        return [found[page].get(entity, []) for entity, page in asked]

    async def _of_each(self, entities: list[str], page: LinkedPage) -> dict[str, list[LinkedRecord]]:
        return await self.ask(lambda: self.runtime.linked_records.of_each(entities, page))


Info = strawberry.Info[Context, None]
