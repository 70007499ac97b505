"""Fields that went and fields that came at the same time: which of them are one and the same under another name?

Half of the answer is how alike their names are, half how alike their values: the same values where enough different ones are
known, else values of the same form. Pure; a wrong answer is a wrong word in a report, never a wrong record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

LIKELY: Final = 0.45
"""From here on two fields are taken for one."""

_TELLING: Final = 3
"""Different values that have to be known before being alike says anything: of true and false it does not."""
_SAME_FORM: Final = 0.6
_UNKNOWN: Final = 0.4
_PART_OF: Final = 0.8
_LONGEST: Final = 100


@dataclass(frozen=True, slots=True)
class Trait:
    """What is known of a field."""

    name: str
    kinds: Collection[str]
    examples: Collection[str]


@dataclass(frozen=True, slots=True)
class Rename:
    before: str
    after: str
    likeness: float


def renames(gone: Sequence[Trait], come: Sequence[Trait], apart: Callable[[str, str], bool]) -> list[Rename]:
    """The likeliest pairs first; every field is in one of them at most. *apart*: no record had both, and none neither."""
    pairs = sorted(
        (
            (-likeness(before, after), before.name, after.name)
            for before in gone
            for after in come
            if apart(before.name, after.name)
        ),
    )
    taken: set[tuple[str, str]] = set()
    found = []
    for score, before, after in pairs:
        if -score >= LIKELY and not {("-", before), ("+", after)} & taken:
            taken |= {("-", before), ("+", after)}
            found.append(Rename(before, after, -score))
    return found


def likeness(before: Trait, after: Trait) -> float:
    """From 0 to 1; 0 where the values are of different kinds."""
    if before.kinds and after.kinds and not set(before.kinds) & set(after.kinds):
        return 0.0
    return 0.5 * name_likeness(before.name, after.name) + 0.5 * value_likeness(
        before.examples, after.examples
    )


def name_likeness(one: str, other: str) -> float:
    left, right = _words(one), _words(other)
    if left and right and (set(left) <= set(right) or set(right) <= set(left)):
        return 1.0 if left == right else _PART_OF
    return SequenceMatcher(None, "".join(left), "".join(right), autojunk=False).ratio()


def value_likeness(before: Collection[str], after: Collection[str]) -> float:
    if min(len(set(before)), len(set(after))) < _TELLING:
        return _UNKNOWN
    common = set(before) & set(after)
    shared = len(common) / len(set(before)) if len(common) >= _TELLING else 0.0
    forms, others = set(map(_form, before)), set(map(_form, after))
    return max(shared, _SAME_FORM * len(forms & others) / len(forms | others))


def _words(name: str) -> list[str]:
    """`fullName`, `full_name` and `Full Name` are the same two words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:_LONGEST])
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word]


def _form(value: str) -> str:
    """What is left when letters and digits are all the same: times, addresses, codes and sentences look like their kind."""
    form = re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", value))
    return re.sub(r"a(?:[\s,;.'-]+a)+", "a a", form)[:_LONGEST]
