"""A small chaos: what `make chaos` does, in seconds."""

from __future__ import annotations

import pytest

from crash.chaos import Chaos, lives, unleash
from crash.failpoints import Action
from crash.points import SEED

pytestmark = pytest.mark.anyio


async def test_nothing_is_lost_or_doubled_however_often_workers_and_databases_are_killed():
    chaos = Chaos(records=3000, kills=5, database_kills=2, seed=SEED)
    said: list[str] = []
    outcome = await unleash(chaos, said.append)
    assert outcome.well, outcome
    assert (outcome.kills, outcome.database_kills) == (5, 2)
    assert said


def test_a_seed_says_where_everything_dies():
    chaos = Chaos(kills=50, database_kills=20, seed=SEED)
    planned = list(lives(chaos))
    assert planned == list(lives(chaos))
    actions = [fault.action for life in planned for fault in life]
    assert (actions.count(Action.KILL), actions.count(Action.STOP)) == (50, 20)
