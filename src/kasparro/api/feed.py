"""The live feed of one process: one listener wakes it, each change is read once for all who ask for the same, and sent to each.

    NOTIFY -> Feed -> Channel (one for each query: reads the head) -> Subscription (a bounded buffer) -> stream

A stream that is behind asks for pages (`feed_pages`) until it has caught up, then takes what its channel reads. In between it
holds nothing of the database. Streams that have something to send do so one after the other, and between two of them everything
else that waits in this process has its turn. `api.routes.changes` opens streams; `api.main` makes the feed and closes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from math import inf
from typing import Final

import structlog

from kasparro.api.change_events import HEARTBEAT, opening_bytes
from kasparro.api.feed_pages import BATCH, Batch, Pages, asked_by
from kasparro.core.clock import monotonic
from kasparro.core.errors import StorageError
from kasparro.schemas.changes import Changed, ChangeOp, FeedPosition, Place
from kasparro.schemas.query import INT64_MAX, RecordQuery
from kasparro.storage.changes import Changes
from kasparro.storage.dataset_notices import listen

log = structlog.get_logger(__name__)

MOST_PENDING: Final = 32
"""Batches that wait for one client."""
READERS: Final = 4
"""Connections that read the heads at a time."""


@dataclass(frozen=True, slots=True)
class FeedTiming:
    """Seconds."""

    heartbeat: float = 15.0
    poll: float = 2.0
    """How often the database is asked while nobody tells: the listener's connection is lost."""
    lifetime: float = 900.0
    """A stream ends then, and its client, going on with another, shows its key again."""
    patience: float = 10.0
    """Who has fallen behind and takes nothing for so long is disconnected."""


@dataclass(slots=True, eq=False)
class Subscription:
    """What a channel has for one stream. When that is too much for its buffer, it has fallen behind, and asks for pages."""

    task: asyncio.Task[None] | None
    """Cancelled when it takes nothing for too long."""
    pending: deque[Batch] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    behind_since: float | None = None

    def offer(self, batch: Batch, patience: float) -> bool:
        """Say whether it takes what it is offered, or may still find the time to."""
        if self.behind_since is None and len(self.pending) < MOST_PENDING:
            self.pending.append(batch)
            self.arrived.set()
            return True
        if self.behind_since is None:
            self.fall_behind()
        if self.behind_since is not None and monotonic() - self.behind_since < patience:
            return True
        log.warning("feed.slow_consumer_dropped", seconds=patience)
        if self.task is not None:
            self.task.cancel()
        return False

    def fall_behind(self) -> None:
        self.behind_since = monotonic()
        self.pending.clear()
        self.arrived.set()

    def caught_up(self) -> bool:
        """Whether nothing was left out since this was asked last."""
        behind, self.behind_since = self.behind_since, None
        return behind is None


class Channel:
    """Follows the head for every stream that asks for the same, from where the first of them was."""

    def __init__(self, feed: Feed, query: RecordQuery, position: FeedPosition) -> None:
        self.query = query
        self.subscriptions: set[Subscription] = set()
        self.woken = asyncio.Event()
        self.position = position
        self._feed = feed
        self._task = asyncio.create_task(self._run(), name="channel of the feed")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except StorageError as error:
                log.warning("feed.not_read", code=error.code, reason=str(error))
                await asyncio.sleep(self._feed.timing.poll)
            else:
                await self.woken.wait()

    async def _read(self) -> None:
        """Read up to the head, and hand out what there is."""
        more = True
        while more:
            self.woken.clear()
            changed = await self._feed.read(self.query, self.position)
            if changed.before != changed.after:
                self._hand_out(Batch(self.query, changed))
            self.position, more = changed.after, changed.more

    def _hand_out(self, batch: Batch) -> None:
        patience = self._feed.timing.patience
        self.subscriptions -= {one for one in self.subscriptions if not one.offer(batch, patience)}


class Feed:
    """The streams of this process, and what wakes them."""

    def __init__(self, changes: Changes, url: str, timing: FeedTiming | None = None) -> None:
        self.timing = timing or FeedTiming()
        self._changes = changes
        self._url = url
        self._pages = Pages(changes)
        self._turns = asyncio.Lock()
        self._readers = asyncio.Semaphore(READERS)
        self._channels: dict[tuple[str, bool], Channel] = {}
        self._listener: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether streams end because the server does."""
        return self._ended

    async def begin(self, query: RecordQuery, position: FeedPosition | None) -> Changed:
        """What a stream from *position*, or from now on, has at first: nothing, as long as the database answers at all."""
        async with self._readers:
            now = await self._changes.now(query)
        begins = now if position is None else position
        return Changed(begins, (), begins, more=position is not None)

    async def read(self, query: RecordQuery, position: FeedPosition) -> Changed:
        """What there is behind *position* at this moment."""
        async with self._readers:
            return await self._changes.read(query, position, BATCH)

    async def stream(self, query: RecordQuery, first: Changed) -> AsyncGenerator[bytes, None]:
        """Events: *first*, which was read already, then what follows, until the client goes or the feed ends."""
        yield opening_bytes(query, first.before)
        try:
            async for batch in self.batches(query, first, self.timing.lifetime):
                yield HEARTBEAT if batch is None else batch.events
        except StorageError as error:  # the client asks again, and hears of it then if it lasts
            log.warning("feed.stream_ended", code=error.code, reason=str(error))

    async def batches(
        self,
        query: RecordQuery,
        first: Changed,
        lifetime: float = inf,
        reader: asyncio.Task[None] | None = None,
    ) -> AsyncGenerator[Batch | None, None]:
        """*first*, then what follows, for *lifetime* seconds or until the feed ends; None where nothing came for a heartbeat.

        *reader* is the task to cancel when it takes too little; left out: the one that asks first.
        """
        ends = monotonic() + lifetime
        position = first.after
        if first.before != position:
            yield Batch(query, first)
        if first.more:
            async for part in self._to_head(query, position, ends):
                position = part.changed.after if part else position
                await self._turn()
                yield part
        if self._over(ends):
            return
        channel = self._channel(query, position)
        subscription = Subscription(reader or asyncio.current_task())
        channel.subscriptions.add(subscription)
        try:
            async for part in self._follow(channel, position, subscription, ends):
                await self._turn()
                yield part
        finally:
            await self._leave(channel, subscription)

    def end(self) -> None:
        """Let every stream come to its end."""
        self._ended = True
        for channel in self._channels.values():
            for subscription in channel.subscriptions:
                subscription.arrived.set()

    async def close(self) -> None:
        self.end()
        for channel in list(self._channels.values()):
            await channel.close()
        await self._pages.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait((self._listener,))

    def _over(self, ends: float) -> bool:
        return self._ended or monotonic() >= ends

    async def _turn(self) -> None:
        """Wait until this is the next to send something, and all else that is ready has run since the last."""
        async with self._turns:
            await asyncio.sleep(0)

    async def _to_head(
        self, query: RecordQuery, position: FeedPosition, ends: float
    ) -> AsyncGenerator[Batch | None, None]:
        """Page by page what there is behind *position*, at least one."""
        more = True
        while more:
            with self._pages.behind(query, position) as reading:
                while not reading.done():
                    await asyncio.wait((reading,), timeout=self.timing.heartbeat)
                    if not reading.done():
                        yield None
                batch = reading.result()
            yield batch
            position = batch.changed.after
            more = batch.changed.more and not self._over(ends)

    async def _follow(
        self, channel: Channel, position: FeedPosition, subscription: Subscription, ends: float
    ) -> AsyncGenerator[Batch | None, None]:
        """What *channel* hands out, behind *position*. Where the channel is somewhere else, there is a look first."""
        query = channel.query
        look = channel.position != position
        while not self._over(ends):
            if not subscription.caught_up():
                async for part in self._to_head(query, position, ends):
                    position = part.changed.after if part else position
                    yield part
                look = channel.position != position
            elif look:
                changed = await self.read(query, position)
                position, look = changed.after, False
                yield Batch(query, changed)
                if changed.more:
                    subscription.fall_behind()
            elif not subscription.pending:
                if not await self._arrived(subscription, ends):
                    yield None
            else:
                batch = subscription.pending.popleft()
                if batch.changed.before == position:
                    position = batch.changed.after
                    yield batch
                elif (rest := rest_of(batch.changed, position)) is not None:
                    position = rest.after
                    yield Batch(query, rest)
                else:
                    look = True

    async def _arrived(self, subscription: Subscription, ends: float) -> bool:
        """Wait for something to arrive, but not for longer than a heartbeat."""
        subscription.arrived.clear()
        try:
            async with asyncio.timeout(min(self.timing.heartbeat, max(ends - monotonic(), 0))):
                await subscription.arrived.wait()
        except TimeoutError:
            return False
        return True

    def _channel(self, query: RecordQuery, position: FeedPosition) -> Channel:
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="listener of the feed")
        key = (asked_by(query), position.whole)
        if key not in self._channels:
            self._channels[key] = Channel(self, query, position)
        return self._channels[key]

    async def _leave(self, channel: Channel, subscription: Subscription) -> None:
        channel.subscriptions.discard(subscription)
        if not channel.subscriptions:
            self._channels = {key: one for key, one in self._channels.items() if one is not channel}
            await channel.close()

    async def _listen(self) -> None:
        """Wake the channels when a commit is told; while nobody can tell, every few seconds."""
        while True:
            try:
                await listen(self._url, self._wake)
            except StorageError as error:
                log.warning("feed.listener_lost", code=error.code, reason=str(error))
            await asyncio.sleep(self.timing.poll)
            self._wake(None)

    def _wake(self, source: str | None) -> None:
        for channel in self._channels.values():
            if source is None or channel.query.source in {None, source}:
                channel.woken.set()


def rest_of(changed: Changed, position: FeedPosition) -> Changed | None:
    """What of *changed* is behind *position*, which may lie within it in some sources and behind it in others.

    None where that cannot be told: a source began, ended or began anew in between, or is gone through for the first time.
    """
    before, here, after = changed.before.places, position.places, changed.after.places
    if not before.keys() == here.keys() == after.keys():
        return None
    if any(change.op in {ChangeOp.RESET, ChangeOp.GAP} for change in changed.changes):
        return None
    for source in here:
        several = (before[source], here[source], after[source])
        if any(place.walking for place in several) or len({place.epoch for place in several}) > 1:
            return None
        if _order(here[source]) < _order(before[source]):
            return None
    rest = [c for c in changed.changes if c.place and _order(c.place) > _order(here[c.source])]
    furthest = {source: max(here[source], after[source], key=_order) for source in here}
    return Changed(position, rest, FeedPosition(position.whole, furthest), changed.more)


def _order(place: Place) -> tuple[int, int]:
    return place.version, INT64_MAX if place.id is None else place.id
