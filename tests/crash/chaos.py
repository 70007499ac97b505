"""Chaos: one large load during which workers and the database are killed, again and again, and afterwards nothing is missing.

    python tests/crash/chaos.py --records 100000 --kills 50 --database-kills 20 --seed 7

Where the processes die is drawn from the seed, step by step, so a run that fails can be had again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg

from crash import audit, checker
from crash.checker import Broken
from crash.cluster import Cluster, own_cluster
from crash.failpoints import Action, Failpoint
from crash.oracle import large
from crash.scene import Scene, serving
from crash.victim import DONE
from kasparro.storage import schema

STEPS = ("known", "commit", "write_rows", "copy_dataset", "copy_raw", "advance", "move_checkpoint", "count")
BATCHES_A_KILL = 8
FULL_CHECKS = 10
"""Between the first and the last, so many times the whole dataset is compared with the oracle."""


@dataclass(frozen=True)
class Chaos:
    records: int = 100_000
    kills: int = 50
    database_kills: int = 20
    seed: int = 0

    @property
    def batch(self) -> int:
        return max(10, self.records // (BATCHES_A_KILL * max(1, self.kills + self.database_kills)))


@dataclass
class Outcome:
    """What was lost, what is there twice, and what else is broken."""

    lost: int = 0
    doubled: int = 0
    broken: str = ""
    kills: int = 0
    database_kills: int = 0
    runs: int = 0

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.broken)


def lives(chaos: Chaos) -> Iterator[tuple[Failpoint, ...]]:
    """What happens to each process in turn: the database dies under it any number of times, then it dies itself."""
    chance = random.Random(chaos.seed)
    events = ["worker"] * chaos.kills + ["database"] * chaos.database_kills
    chance.shuffle(events)
    faults: list[Failpoint] = []
    nth = 0
    for event in [*events, "end"]:
        if event == "end":
            yield tuple(faults)
            return
        nth += chance.randint(1, 3)
        action = Action.KILL if event == "worker" else Action.STOP
        faults.append(Failpoint(chance.choice(STEPS), chance.choice(("before", "after")), nth, action))
        if event == "worker":
            yield tuple(faults)
            faults, nth = [], 0


async def live(scene: Scene, cluster: Cluster, faults: tuple[Failpoint, ...], batch: int) -> tuple[int, int]:
    """One process from its start to its end; its exit code, and how often the database died under it."""
    victim = scene.start(*faults, batch=batch, wait_for_lease=60.0)
    deaths = 0
    for fault in faults:
        if fault.action is Action.STOP and await victim.stopped_or_ended():
            cluster.kill()
            cluster.start()
            victim.wake()
            deaths += 1
    return await victim.ended(), deaths


async def unleash(chaos: Chaos, say: Callable[[str], None]) -> Outcome:
    outcome, began = Outcome(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, own_cluster() as cluster, serving() as upstream:
        await schema.upgrade(cluster.url)
        scene = Scene(cluster.url, "csv", large(chaos.records, chaos.seed), Path(folder), upstream)
        scene.publish()
        with psycopg.connect(scene.url, autocommit=True) as connection:
            audit.install(connection)
        try:
            await suffer(chaos, scene, cluster, outcome, say)
            scene.check_end()
        except Broken as broken:
            outcome.broken = str(broken)
        count(scene, outcome)
    say(f"{time.monotonic() - began:.0f} s")
    return outcome


async def suffer(
    chaos: Chaos, scene: Scene, cluster: Cluster, outcome: Outcome, say: Callable[[str], None]
) -> None:
    """Live after live until every kill was had; a life that reached the end of the source before its kill is had again."""
    for number, faults in enumerate(lives(chaos)):
        code, deaths = await live(scene, cluster, faults, chaos.batch)
        checker.hold("I4", code in {DONE, -signal.SIGKILL}, f"a process ended with {code}")
        outcome.runs += 1
        outcome.kills += code == -signal.SIGKILL
        outcome.database_kills += deaths
        checker.wait_until_gone(scene.url)
        if number % max(1, chaos.kills // FULL_CHECKS) == 0:
            scene.check_instant()
        say(
            f"{outcome.kills} workers and {outcome.database_kills} databases killed, {stored(scene):,} records in"
        )
    while outcome.kills < chaos.kills or outcome.database_kills < chaos.database_kills:
        missing = Action.KILL if outcome.kills < chaos.kills else Action.STOP
        code, deaths = await live(scene, cluster, (Failpoint("commit", "after", 1, missing),), chaos.batch)
        outcome.kills += code == -signal.SIGKILL
        outcome.database_kills += deaths
    await scene.recover(batch=chaos.batch)


def stored(scene: Scene) -> int:
    with psycopg.connect(scene.url) as connection:
        row = connection.execute("SELECT record_count FROM etl_checkpoint").fetchone()
    return row[0] if row else 0


def count(scene: Scene, outcome: Outcome) -> None:
    with psycopg.connect(scene.url) as connection:
        keys = [row[0] for row in connection.execute("SELECT source_id FROM normalized_data")]
        raw = [row[0] for row in connection.execute("SELECT external_id FROM raw_data_csv")]
    final = scene.oracle.final
    outcome.lost = len(set(final.dataset) - set(keys)) + len(set(final.raw) - set(raw))
    outcome.doubled = len(keys) - len(set(keys)) + len(raw) - len(set(raw))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=Chaos.records)
    parser.add_argument("--kills", type=int, default=Chaos.kills)
    parser.add_argument("--database-kills", type=int, default=Chaos.database_kills)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chaos = Chaos(**vars(parser.parse_args()))
    say(f"{chaos}")
    outcome = asyncio.run(unleash(chaos, say))
    say(
        f"{outcome.lost} lost, {outcome.doubled} doubled, ledger {outcome.broken or 'balanced'}; "
        f"{outcome.kills} workers and {outcome.database_kills} databases killed"
    )
    return 0 if outcome.well else 1


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a command


if __name__ == "__main__":
    sys.exit(main())
