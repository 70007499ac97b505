"""Patterns of file names, as the shell reads them. Used for folders, the keys of a bucket and the members of an archive.

`*`, `?` and `[...]` stand for characters of one name, `**` for any number of folders. A name that begins with a dot is matched
only by a part that begins with one. A walk carries the set of parts that may come next, so no pattern takes more than its
length times that of the path.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Final

States = frozenset[int]

_MAGIC: Final = re.compile(r"[*?]|\[[^/]+\]")
_DEEP: Final = "**"


def is_pattern(text: str) -> bool:
    """Whether *text* is more than one name."""
    return _MAGIC.search(text) is not None


def split_pattern(text: str) -> tuple[str, str]:
    """The folder in which all matches of *text* lie (with its slash, or empty), and the pattern below it."""
    parts = text.split("/")
    first = next(number for number, part in enumerate(parts) if is_pattern(part))
    return "".join(f"{part}/" for part in parts[:first]), "/".join(parts[first:])


class Pattern:
    """A pattern of relative paths, their parts separated by `/`."""

    def __init__(self, text: str) -> None:
        parts = [part for part in text.split("/") if part]
        if parts and parts[-1] == _DEEP:
            parts.append("*")
        self._parts = [None if part == _DEEP else re.compile(translate(part)) for part in parts]
        self._of_hidden = [part.startswith(".") for part in parts]
        self.start = self._with_folders_skipped({0})

    def matches(self, path: str) -> bool:
        """Whether the whole of *path* fits."""
        states = self.start
        for name in path.split("/"):
            states = self.step(states, name)
        return self.accepts(states)

    def step(self, states: States, name: str, *, deep: bool = True) -> States:
        """What may follow behind *name*; unless *deep*, `**` does not stand for it."""
        found: set[int] = set()
        for state in states:
            if state == len(self._parts) or (name.startswith(".") and not self._of_hidden[state]):
                continue
            part = self._parts[state]
            if part is None:
                found |= {state} if deep else set()
            elif part.match(name):
                found.add(state + 1)
        return self._with_folders_skipped(found)

    def accepts(self, states: States) -> bool:
        """Whether the pattern may end here."""
        return len(self._parts) in states

    def goes_on(self, states: States) -> bool:
        """Whether the pattern may go on from here."""
        return any(state < len(self._parts) for state in states)

    def _with_folders_skipped(self, states: set[int]) -> States:
        """`**` may also stand for no folder at all."""
        reached: set[int] = set()
        for state in states:
            while state not in reached:
                reached.add(state)
                if state < len(self._parts) and self._parts[state] is None:
                    state += 1  # noqa: PLW2901  # on to what stands behind the **
        return frozenset(reached)
