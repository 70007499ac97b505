"""What of a record can be matched with others: from ingestion, which computes it, to storage, which links."""

from __future__ import annotations

from typing import Final

import msgspec

DIGEST_SIZE: Final = 16
"""Bytes of a match key."""


class MatchKey(msgspec.Struct, frozen=True, gc=False):
    """What a rule makes of a record: equal for records whose fields agree. `rule`: its fields, joined by `+`."""

    rule: str
    digest: bytes


class Matchable(msgspec.Struct, frozen=True, gc=False):
    """A record of the dataset with a key for each rule whose fields it has, in the order of the rules."""

    source_id: str
    keys: tuple[MatchKey, ...]
