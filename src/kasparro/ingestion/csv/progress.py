"""How far the files of a source have been read: what a cursor says, and cursors again. Called by `turns`.

A pass goes over all files, in one run or in several. Its cursor knows the files it is done with, the one it stands in, and those
that the last complete pass knew and this one has not come to yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec

from kasparro.schemas.ingest import Cursor

_SHAPE: Final = 1
"""The shape of the cursor; one of another shape is not resumed."""
_MIXED: Final = ""
"""The recipe of a pass that was gone on with under another one: never that of the next run."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A place where a record begins or the file ends: how many records lie before it, and the digest of all that does."""

    offset: int
    line: int
    records: int
    digest: str


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """How far a file was read. `stamp` says what the file system said of it, `form` how it was read.

    `places` ascend. The last is how far it was read; one before it is where to go on when the file has grown, since its last
    record had no line end and may be continued now.
    """

    stamp: str
    form: str
    places: Annotated[tuple[Place, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Progress:
    """A pass over the files: `done` and `before` have an entry for each, as JSON, `current` is the file it stands in."""

    recipe: str
    done: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    current: tuple[str, FileState] | None = None

    def cursor(self, *, complete: bool = False) -> Cursor:
        """What resumes here; *complete*: the pass has seen the end of every file."""
        said = {"shape": _SHAPE, "recipe": self.recipe, "complete": complete, "done": self.done}
        if complete:
            return said
        return {**said, "before": self.before, "current": msgspec.to_builtins(self.current)}

    def at(self, name: str, state: FileState) -> Progress:
        """The same, standing in file *name*."""
        return replace(
            self, done=_without(name, self.done), before=_without(name, self.before), current=(name, state)
        )

    def past(self, name: str, state: FileState) -> Progress:
        """The same, done with file *name*."""
        done = {**self.done, name: msgspec.to_builtins(state)}
        return replace(self, done=done, before=_without(name, self.before), current=None)

    def known(self, name: str) -> tuple[FileState | None, bool]:
        """What is known of file *name*, and whether this pass has counted it already."""
        if self.current is not None and self.current[0] == name:
            return self.current[1], True
        if name in self.done:
            return msgspec.convert(self.done[name], FileState), True
        if name in self.before:
            return msgspec.convert(self.before[name], FileState), False
        return None, False


class _Said(msgspec.Struct):
    shape: Literal[1]
    recipe: str
    complete: bool
    done: dict[str, FileState]
    before: dict[str, FileState] = {}
    current: tuple[str, FileState] | None = None


def progress(after: Cursor | None, recipe: str) -> Progress:
    """Where the next run stands; at the beginning of everything when *after* says nothing that it can use."""
    try:
        said = msgspec.convert(after, _Said)
    except msgspec.ValidationError:
        return Progress(recipe)
    if after is None or (said.complete and said.recipe != recipe):
        return Progress(recipe)
    if said.complete:
        return Progress(recipe, before=after["done"])
    if said.recipe != recipe:
        return Progress(_MIXED, done=after["done"], current=said.current)
    return Progress(recipe, done=after["done"], before=after.get("before", {}), current=said.current)


def _without(name: str, entries: Mapping[str, Any]) -> Mapping[str, Any]:
    rest = dict(entries)
    rest.pop(name, None)
    return rest


def stamp(fingerprint: Mapping[str, Any]) -> str:
    """16 hex digits over what the file system says of a file."""
    text = json.dumps(fingerprint, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()
