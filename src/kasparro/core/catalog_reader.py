"""A parsed catalog in; declarations and everything there is to fix out. Called by `catalog_file`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from kasparro.core.catalog_parents import parent_faults
from kasparro.core.catalog_problems import Fault, faults, known_keys, nearest
from kasparro.core.declarations.any_source import MODELS, AnySource, SourceDeclaration
from kasparro.core.declarations.limits import RateLimit
from kasparro.core.declarations.singer import secrets_of
from kasparro.core.declarations.sources import ApiSource
from kasparro.core.errors import ConfigurationProblem
from kasparro.core.substitution import Filled, fill_variables
from kasparro.core.unsupported import unsupported
from kasparro.core.yaml_tree import Place, Tree

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
_FOR_ANCHORS: Final = "x-"
_NOT_A_REFERENCE: Final = (
    "has a ${ that is not a variable. Write ${NAME} or ${NAME:-default}; $${ stands for a plain ${"
)
_FALSE: Final = frozenset({"false", "no", "off", "0", "f", "n"})
_STAND_INS: Final = ("unset", "1", "https://not-set.invalid/", None)
"""What takes the place of a variable that is not set: a word, a number, an address, nothing (the default of the key)."""


class CatalogReader:
    """One pass over a tree that collects what is wrong instead of stopping at the first.

    `problems` are faults, `not_yet` is what this version does not deliver, `incomplete` what disabled sources lack.
    """

    def __init__(self, tree: Tree, path: Path, variables: Mapping[str, str]) -> None:
        self.sources: dict[str, SourceDeclaration] = {}
        self.incomplete: dict[str, tuple[ConfigurationProblem, ...]] = {}
        self.problems: list[ConfigurationProblem] = []
        self.not_yet: list[ConfigurationProblem] = []
        self._tree = tree
        self._path = path
        self._variables = variables

    def read(self) -> None:
        root = self._tree.value
        if not isinstance(root, dict):
            what = "the file is empty" if root is None else "the file must be a mapping"
            self._report((), f"{what}: a catalog starts with the key 'sources'")
            return
        for key in root:
            if key != "sources" and not key.startswith(_FOR_ANCHORS):
                self._report((key,), f"unknown key. {nearest(key, ['sources'])}")
        sources = root.get("sources")
        if not isinstance(sources, dict) or not sources:
            self._report(("sources",), "'sources' must be a mapping that declares at least one source")
            return
        for name, source in sources.items():
            self._read_source(name, source)
        self._compare_groups()
        for place, fault in parent_faults(self.sources, sources):
            self._report(place, fault)

    def _compare_groups(self) -> None:
        """Sources that share a rate limit must mean the same one."""
        first: dict[str, tuple[str, RateLimit]] = {}
        for name, source in self.sources.items():
            limit = source.rate_limit if isinstance(source, ApiSource) else None
            if limit is None or limit.group is None:
                continue
            other, declared = first.setdefault(limit.group, (name, limit))
            for key in limit.differing(declared):
                shared = f"group {limit.group!r} with source {other!r}, which declares another"
                self._report(("sources", name, "rate_limit", key), f"differs within its {shared}")

    def _read_source(self, name: str, source: Any) -> None:
        place: Place = ("sources", name)
        if not _NAME.fullmatch(name):
            self._report(
                place, f"not a source name: 1 to 50 of a-z, 0-9 and _, a letter first{_name_hint(name)}"
            )
            return
        if not isinstance(source, dict):
            self._report(place, "must be a mapping that declares a source")
            return
        filled = fill_variables(source, self._variables)
        for inner in filled.malformed:
            self._report((*place, *inner), _NOT_A_REFERENCE)
        for inner, what in unsupported(filled.value):
            self.not_yet.append(self._problem((*place, *inner), f"{what} is not supported yet"))
        self._declare(name, filled)

    def _declare(self, name: str, filled: Filled) -> None:
        unset = tuple(self._unset(name, filled))
        reported = len(self.problems)
        model = self._model(name, filled)
        declaration = self._validate(model, name, filled) if model else None
        disabled = str(filled.value.get("enabled")).strip().lower() in _FALSE
        if not disabled or (declaration is None and len(self.problems) == reported):
            self.problems += unset
        elif unset:
            self.incomplete[name] = unset
        if declaration is not None:
            self.sources[name] = declaration

    def _unset(self, name: str, filled: Filled) -> Iterator[ConfigurationProblem]:
        for inner, variables in filled.unset.items():
            for variable in variables:
                where = self._path.parent / ".env"
                message = f"the variable {variable} is not set. Set it in the environment or in {where}"
                yield self._problem(("sources", name, *inner), message)

    def _model(self, name: str, filled: Filled) -> type[AnySource] | None:
        kind = filled.value.get("type")
        if isinstance(kind, str) and kind in MODELS:
            return MODELS[kind]
        place: Place = ("sources", name)
        if "type" not in filled.value:
            self._report(place, f"needs a type: one of {', '.join(MODELS)}")
        elif ("type",) not in filled.unset:
            outside = not isinstance(kind, str) or ("type",) in filled.from_outside
            hint = f"Known are: {', '.join(MODELS)}" if outside else nearest(kind, list(MODELS))
            self._report((*place, "type"), f"unknown type. {hint}")
        return None

    def _validate(self, model: type[AnySource], name: str, filled: Filled) -> SourceDeclaration | None:
        """Validate; stand-ins take the places of variables that are not set, so that the rest is judged all the same."""
        for key in sorted(model.given_by_loader & filled.value.keys()):
            self._report(("sources", name, key), f"unknown key. {nearest(key, known_keys(model, ()))}")
        value, found, expected = filled.value, list[Fault](), set[Place]()
        for stand_in in (*_STAND_INS, None):
            try:
                return _build(model, self._given(name, filled), value)
            except ValidationError as error:
                found = list(faults(error, model, lambda inner: self._is_secret(name, inner, filled)))
            expected = {self._written(name, fault.place) for fault in found} & filled.unset.keys()
            for place in expected:
                value = _replaced(value, place, stand_in)
        for fault in found:
            if self._written(name, fault.place) not in expected:
                self._report(("sources", name, *fault.place), fault.message)
        return None

    def _given(self, name: str, filled: Filled) -> dict[str, Any]:
        """What the loader itself gives to a declaration, where it takes it."""
        brought = frozenset(place[1:] for place in filled.from_outside if place[0] == "config")
        return {
            "name": name,
            "folder": self._path.parent.absolute(),
            "secrets": secrets_of(filled.value.get("config"), brought),
        }

    def _is_secret(self, name: str, inner: Place, filled: Filled) -> bool:
        written = self._written(name, inner)
        return written in filled.from_outside or (*written, "type") in filled.from_outside

    def _written(self, name: str, inner: Place) -> Place:
        return self._tree.nearest(("sources", name, *inner))[2:]

    def _report(self, place: Place, message: str) -> None:
        self.problems.append(self._problem(place, message))

    def _problem(self, place: Place, message: str) -> ConfigurationProblem:
        written = self._tree.nearest(place)
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in written).lstrip(".")
        return ConfigurationProblem(
            f"{shown}: {message}" if shown else message, str(self._path), self._tree.line(written)
        )


def _build(model: type[AnySource], given: Mapping[str, Any], value: Mapping[str, Any]) -> SourceDeclaration:
    written = {key: item for key, item in value.items() if key not in model.given_by_loader}
    loader = {key: given[key] for key in model.given_by_loader}
    return model.model_validate(written | loader, by_alias=True, by_name=False)


def _replaced(value: Any, place: Place, new: str | None) -> Any:
    """*value* with *new* at *place*; without that key when *new* is None."""
    if not place:
        return new
    step, *rest = place
    if isinstance(value, dict):
        if not rest and new is None:
            return {key: item for key, item in value.items() if key != step}
        return {
            key: _replaced(item, tuple(rest), new) if key == step else item for key, item in value.items()
        }
    return [_replaced(item, tuple(rest), new) if at == step else item for at, item in enumerate(value)]


def _name_hint(name: str) -> str:
    suggestion = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:50]
    return f". Did you mean {suggestion!r}?" if _NAME.fullmatch(suggestion) else ""
