"""The accepted shape and what a batch looks like in, differences out. Changes nothing but what the shape has yet to learn.

Nothing is guessed from too little: each kind of difference says from how many records on it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kasparro.ingestion.drift.observing import Names, Objects, Observation, Values
from kasparro.ingestion.drift.renames import Trait, renames
from kasparro.ingestion.drift.shape import (
    MOST_EXAMPLES,
    OPEN,
    Field,
    Node,
    Shape,
    clean,
    most_fields,
)
from kasparro.schemas.drift import DriftKind

EXPECTED: Final = 10
"""Objects that all lack a field which all had before it is gone; of one that only some had, as many as should have had it."""
ENOUGH_VALUES: Final = 30
MOSTLY: Final = 0.5
RISEN: Final = 0.45
MOST_COMPARED: Final = 64
"""A null rate is another one when of enough values most are null, and so much more of them than before."""

ALWAYS, SOMETIMES, NEVER = "always", "sometimes", "never"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs at *name* of the object at *node*; `to` is what it is called now. `seen`: the values it has now."""

    node: str
    name: str
    kind: DriftKind
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    confidence: float = 1.0
    to: str | None = None
    seen: Values | None = None


@dataclass(slots=True)
class RunSoFar:
    """What a run has met of each node, for what one batch is too small to show."""

    objects: dict[str, int] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    values: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, seen: Observation) -> None:
        for node, objects in seen.items():
            self.objects[node] = self.objects.get(node, 0) + objects.counted
            self.names.setdefault(node, set()).update(names_of(objects.names)[0])
            for name, values in objects.fields.items():
                present, nulls = self.values.get((node, name), (0, 0))
                self.values[node, name] = present + values.present, nulls + values.nulls


def learn(shape: Shape, seen: Observation) -> None:
    """Widen *shape* by all there is in a batch; nothing of it is a difference."""
    for path, objects in seen.items():
        learn_node(shape.node(path), path, objects, shape.evidence)


def learn_node(node: Node, path: str, objects: Objects, evidence: int) -> None:
    names, common = names_of(objects.names)
    first = not node.fields
    node.objects += objects.sampled
    for name in sorted(names - node.fields.keys()):
        node.fields[name] = Field(always=first)
    for name, known in node.fields.items():
        known.always = known.always and name in common
        known.objects = node.objects
        take_values(known, objects.fields.get(name), evidence)
    node.open = node.open or len(node.fields) > most_fields(path)


def take_values(known: Field, values: Values | None, evidence: int) -> None:
    if values is None:
        return
    known.present += values.present
    known.nulls += values.nulls
    known.kinds |= dict.fromkeys(values.kinds, evidence)
    if len(known.examples) < MOST_EXAMPLES:
        known.examples = list(dict.fromkeys([*known.examples, *values.examples(MOST_EXAMPLES)]))[
            :MOST_EXAMPLES
        ]


def compare(shape: Shape, seen: Observation, run: RunSoFar) -> list[Difference]:
    """How the batch differs from *shape*; *run* has the batch in it. An object where there was none before is learned."""
    found: list[Difference] = []
    for path, objects in seen.items():
        node = shape.nodes.get(path)
        if node is None or not node.fields:
            learn_node(shape.node(path), path, objects, shape.evidence)
        elif not node.open:
            found += _Comparison(path, node, objects, run, shape.evidence).differences()
    return found


@dataclass(frozen=True, slots=True)
class _Comparison:
    path: str
    node: Node
    objects: Objects
    run: RunSoFar
    evidence: int

    def differences(self) -> Iterator[Difference]:
        names, common = names_of(self.objects.names)
        known = self.node.fields
        added = sorted(names - known.keys())
        if len(known) + len(added) > most_fields(self.path):
            yield Difference(self.path, OPEN, DriftKind.ADDED, None, {"fields": "any"})
            return
        lacking = [name for name in known if self._lacks(name, names, common)]
        yield from self._named(added, lacking, names)
        for name in names & known.keys():
            values = self.objects.fields.get(name)
            if values is not None:
                yield from self._kinds(name, known[name], values)
                yield from self._nulls(name, known[name], values)

    def _lacks(self, name: str, names: set[str], common: set[str]) -> bool:
        known = self.node.fields[name]
        if known.always:
            return name not in common
        expected = known.share * self.run.objects[self.path]
        return expected >= EXPECTED and name not in names and name not in self.run.names[self.path]

    def _named(self, added: list[str], lacking: list[str], names: set[str]) -> Iterator[Difference]:
        back = [name for name in names & self.node.fields.keys() if not self.node.fields[name].expected]
        come = [self._now(name) for name in [*added, *sorted(back)]]
        pairs = renames(list(map(self._before, lacking)), come, self._apart()) if lacking else []
        for pair in pairs:
            values = self.objects.fields.get(pair.after)
            met = values.present if values else 1
            yield Difference(
                self.path,
                pair.before,
                DriftKind.RENAMED,
                {"field": pair.before, "types": accepted_kinds(self.node.fields[pair.before], self.evidence)},
                {"field": pair.after, "types": self._kinds_now(pair.after)},
                round(pair.likeness * (met + 1) / (met + 2), 2),
                pair.after,
                values,
            )
        for name in set(added) - {pair.after for pair in pairs}:
            after = {"types": self._kinds_now(name)}
            values = self.objects.fields.get(name)
            yield Difference(self.path, name, DriftKind.ADDED, None, after, 1.0, name, values)
        for name in set(lacking) - {pair.before for pair in pairs}:
            yield self._missing(name, names)

    def _missing(self, name: str, names: set[str]) -> Difference:
        known = self.node.fields[name]
        gone = not known.always or (name not in names and self.objects.counted >= EXPECTED)
        return Difference(
            self.path,
            name,
            DriftKind.MISSING,
            {
                "presence": ALWAYS if known.always else SOMETIMES,
                "types": accepted_kinds(known, self.evidence),
            },
            {"presence": NEVER if gone else SOMETIMES},
        )

    def _kinds(self, name: str, known: Field, values: Values) -> Iterator[Difference]:
        if all(known.kinds.get(kind, 0) >= self.evidence for kind in values.kinds):
            return
        before = accepted_kinds(known, self.evidence)
        if not before or (self.evidence > 1 and "text" in before):  # a column of text has anything in it
            known.kinds |= dict.fromkeys(values.kinds, self.evidence) if not before else {}
            return
        totals = {
            kind: known.kinds.get(kind, 0) + met for kind, met in values.kinds.items() if kind not in before
        }
        new = sorted(kind for kind, total in totals.items() if total >= self.evidence)
        known.kinds |= {kind: total for kind, total in totals.items() if kind not in new}
        if new:
            sure = 1.0 if self.evidence == 1 else round(1 - 1 / (1 + max(totals.values())), 2)
            yield Difference(
                self.path, name, DriftKind.TYPE_CHANGED, {"types": before}, {"types": new}, sure, None, values
            )

    def _nulls(self, name: str, known: Field, values: Values) -> Iterator[Difference]:
        present, nulls = self.run.values[self.path, name]
        if nulls < MOSTLY * present or min(present, known.present) < ENOUGH_VALUES:
            return
        share = nulls / present
        if share - known.null_share >= RISEN:
            before, after = {"nulls": round(known.null_share, 1)}, {"nulls": round(share, 1)}
            sure = round(1 - 1 / present, 2)
            yield Difference(self.path, name, DriftKind.NULL_RATE, before, after, sure, None, values)

    def _before(self, name: str) -> Trait:
        known = self.node.fields[name]
        return Trait(name, accepted_kinds(known, self.evidence), known.examples)

    def _now(self, name: str) -> Trait:
        values = self.objects.fields.get(name)
        return Trait(name, self._kinds_now(name), values.examples(MOST_COMPARED) if values else ())

    def _kinds_now(self, name: str) -> list[str]:
        values = self.objects.fields.get(name)
        return sorted(values.kinds) if values else []

    def _apart(self) -> Callable[[str, str], bool]:
        """Of a field that all had: each object has one of the two. Of another: none has it any more."""
        combinations = [frozenset(map(clean, names)) for names in self.objects.names]

        def apart(before: str, after: str) -> bool:
            if self.node.fields[before].always:
                return all((before in names) != (after in names) for names in combinations)
            return not any(before in names for names in combinations)

        return apart


def accepted_kinds(known: Field, evidence: int) -> list[str]:
    return sorted(kind for kind, met in known.kinds.items() if met >= evidence)


def names_of(combinations: set[Names]) -> tuple[set[str], set[str]]:
    """The names that any of the *combinations* has, and those that all have."""
    if not combinations:
        return set(), set()
    some = set[str]().union(*combinations)
    every = some.intersection(*combinations)
    return set(map(clean, some)), set(map(clean, every))
