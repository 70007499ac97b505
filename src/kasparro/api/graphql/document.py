"""A query's text in, a document out that is known to be affordable: measured as it stands, before it is held against the schema.

What a query costs to validate and to execute is bounded by the bounds of this module alone, so that a hostile one is refused
after microseconds. A document that was good once is remembered by its text. Raises `InvalidQuery` and `QueryRefused`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    IntValueNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    VariableNode,
    parse,
    validate,
)
from graphql.language import DirectiveNode, ListValueNode, ObjectValueNode

from kasparro.api.graphql.schema import SCHEMA
from kasparro.core.config import GraphqlLimits
from kasparro.core.errors import InvalidQuery, QueryRefused

REMEMBERED: Final = 200
"""Documents whose text is known to be good."""
MOST_FAULTS: Final = 5
"""Most faults of a query that are told."""
INTROSPECTION: Final = frozenset({"__schema", "__type"})

MOST_OPERATIONS: Final = 10
MOST_FRAGMENTS: Final = 25
MOST_OF_A_NAME: Final = 50
"""Fields that are answered under the same name: each is held against every other."""

LISTS: Final = frozenset(
    {
        "records",
        "search",
        "entities",
        "runs",
        "sources",
        "checkpoints",
        "drifts",
        "facets",
        "changes",
        "recordChanges",
    }
)
"""Fields that answer several: of one that does not say `first`, this many are counted."""
USUAL: Final = 10
MOST_FIRST: Final = 1000
WEIGHTS: Final[Mapping[str, int]] = {"search": 20, "lineage": 5, "entity": 5, "facets": 20}
"""Fields that cost the database more than others."""

Variables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that fits the schema, and what does not depend on variables."""

    document: DocumentNode
    introspects: bool


class RefusedByValidation(InvalidQuery):
    """The query does not fit the schema."""

    def __init__(self, faults: Sequence[GraphQLError]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


def prepared(text: str, limits: GraphqlLimits) -> Prepared:
    """The document of *text*."""
    if len(text) > limits.characters:
        raise QueryRefused(f"a query has at most {limits.characters} characters")
    return _prepared(text, limits)


@lru_cache(maxsize=REMEMBERED)
def _prepared(text: str, limits: GraphqlLimits) -> Prepared:
    document = _parsed(text, limits)
    _examine_definitions(document)
    introspects = _examine_nodes(document, limits)
    for operation in document.definitions:
        if isinstance(operation, OperationDefinitionNode):
            check_cost(document, operation, {}, limits)
    if faults := validate(SCHEMA, document, max_errors=MOST_FAULTS):
        raise RefusedByValidation(faults)
    return Prepared(document, introspects)


def _parsed(text: str, limits: GraphqlLimits) -> DocumentNode:
    try:
        return parse(Source(text), max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if "token" in error.message and str(limits.tokens) in error.message:
            raise QueryRefused(f"a query has at most {limits.tokens} tokens") from error
        raise RefusedByValidation([error]) from error
    except RecursionError as error:
        raise QueryRefused(f"a query is at most {limits.depth} levels deep") from error


def _examine_definitions(document: DocumentNode) -> None:
    """Bound them, and refuse fragments that include themselves: nothing that follows those would come to an end."""
    fragments = sum(isinstance(one, FragmentDefinitionNode) for one in document.definitions)
    if fragments > MOST_FRAGMENTS:
        raise QueryRefused(f"a query has at most {MOST_FRAGMENTS} fragments")
    if len(document.definitions) - fragments > MOST_OPERATIONS:
        raise QueryRefused(f"a query has at most {MOST_OPERATIONS} operations")
    Price(document, {}).check_cycles()


def _examine_nodes(document: DocumentNode, limits: GraphqlLimits) -> bool:
    """Count what stands in *document*; say whether it asks for the schema."""
    names: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for node, depth in _nodes(document):
        if depth > limits.depth:
            raise QueryRefused(f"a query is at most {limits.depth} levels deep")
        if isinstance(node, FieldNode):
            names[(node.alias or node.name).value] += 1
            found["aliases"] += node.alias is not None
            found["introspection"] += node.name.value in INTROSPECTION
        elif isinstance(node, DirectiveNode):
            found["directives"] += 1
    for what, most in (("aliases", limits.aliases), ("directives", limits.directives)):
        if found[what] > most:
            raise QueryRefused(f"a query has at most {most} {what}")
    for name, times in names.most_common(1):
        if times > MOST_OF_A_NAME:
            raise QueryRefused(f"a query answers at most {MOST_OF_A_NAME} fields as {name!r}")
    return bool(found["introspection"])


def _nodes(document: DocumentNode) -> Iterator[tuple[Node, int]]:
    """Every node, with how many selections and values it is within."""
    pending: list[tuple[Node, int]] = [(document, 0)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        within = depth + isinstance(node, SelectionSetNode | ListValueNode | ObjectValueNode)
        for key in node.keys:
            child = getattr(node, key, None)
            if isinstance(child, Node):
                pending.append((child, within))
            elif isinstance(child, list | tuple):
                pending.extend((one, within) for one in child if isinstance(one, Node))


def check_cost(
    document: DocumentNode, operation: OperationDefinitionNode, asked: Variables, limits: GraphqlLimits
) -> None:
    """Refuse *operation* when it would answer, or ask the database, too much with these variables."""
    price = Price(
        document,
        asked,
        {v.variable.name.value: v.default_value for v in operation.variable_definitions or ()},
    )
    roots = price.roots(operation.selection_set)
    if roots > limits.root_fields:
        raise QueryRefused(f"a query asks for at most {limits.root_fields} fields at its root")
    if price.depth(operation.selection_set) > limits.depth:
        raise QueryRefused(f"a query is at most {limits.depth} levels deep")
    cost = price.cost(operation.selection_set)
    if cost > limits.cost:
        raise QueryRefused(
            f"this query costs {cost}, and may cost {limits.cost}",
            hint="Ask for fewer fields, or a smaller `first`",
        )


@dataclass(slots=True)
class Price:
    """What the selections of a document come to, each fragment reckoned once."""

    document: DocumentNode
    asked: Variables
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fragments: dict[str, SelectionSetNode] = field(init=False)
    known: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = (d for d in self.document.definitions if isinstance(d, FragmentDefinitionNode))
        self.fragments = {fragment.name.value: fragment.selection_set for fragment in found}

    def check_cycles(self) -> None:
        includes = {name: set(_spread(selections)) for name, selections in self.fragments.items()}
        while free := [name for name, others in includes.items() if not others & includes.keys()]:
            for name in free:
                del includes[name]
        if includes:
            raise QueryRefused(f"the fragment {min(includes)!r} includes itself")

    def cost(self, selections: SelectionSetNode) -> int:
        """One for each value that is answered, as often as the lists around it may have it; more for what is dearer."""
        total = 0
        for one in selections.selections:
            if isinstance(one, FieldNode):
                within = self.cost(one.selection_set) if one.selection_set else 0
                total += WEIGHTS.get(one.name.value, 1) + self._times(one) * within
            else:
                total += self._within("cost", one)
        return total

    def roots(self, selections: SelectionSetNode) -> int:
        return sum(
            1 if isinstance(one, FieldNode) else self._within("roots", one) for one in selections.selections
        )

    def depth(self, selections: SelectionSetNode) -> int:
        deepest = 0
        for one in selections.selections:
            if isinstance(one, FieldNode):
                below = 1 + (self.depth(one.selection_set) if one.selection_set else 0)
            else:
                below = self._within("depth", one)
            deepest = max(deepest, below)
        return deepest

    def _within(self, what: str, one: Any) -> int:
        """*what* of an inline fragment, or of the fragment that is named."""
        measure = getattr(self, what)
        if not isinstance(one, FragmentSpreadNode):
            return int(measure(one.selection_set))
        key = (what, one.name.value)
        if key not in self.known:
            selections = self.fragments.get(one.name.value)
            self.known[key] = measure(selections) if selections else 0
        return self.known[key]

    def _times(self, one: FieldNode) -> int:
        for argument in one.arguments or ():
            if argument.name.value == "first":
                return max(1, min(self._number(argument.value), MOST_FIRST))
        return USUAL if one.name.value in LISTS else 1

    def _number(self, value: Any) -> int:
        if isinstance(value, VariableNode):
            name = value.name.value
            given = self.asked.get(name)
            if isinstance(given, int):
                return given
            value = self.defaults.get(name)
        return int(value.value[:10]) if isinstance(value, IntValueNode) else USUAL


def _spread(selections: SelectionSetNode) -> Iterator[str]:
    """The fragments that *selections* name, however deep."""
    pending: list[Any] = list(selections.selections)
    while pending:
        one = pending.pop()
        if isinstance(one, FragmentSpreadNode):
            yield one.name.value
        elif one.selection_set:
            pending.extend(one.selection_set.selections)
