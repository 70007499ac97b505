"""A file as it is stored, before anything is unpacked: what opening gives, whatever kind of place it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol


def nothing_to_do() -> None:
    """Nothing to check: what is asked for by its version comes in that version. Nothing to interrupt: disks answer."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open file.

    `name` is its own, without folders: its ending may say how it is compressed. `stream` can be read and, at a cost, moved in.
    `size` is None where nobody says it. `fingerprint` tells this version of the file from others. `check_unchanged` raises
    `SourceChanged`; `close` may be called twice; `interrupt`, from another thread, ends a read that waits for the network.
    """

    name: str
    stream: BinaryIO
    size: int | None
    fingerprint: Mapping[str, Any]
    close: Callable[[], None]
    check_unchanged: Callable[[], None] = nothing_to_do
    interrupt: Callable[[], None] = nothing_to_do


class StoredPlace(Protocol):
    """Where a file is, before it is opened. `shown` is what lineage says, `place` what errors do; neither has a credential."""

    @property
    def shown(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def file_name(self) -> str: ...

    def open(self) -> StoredFile:
        """Raises the `SourceError` family."""
