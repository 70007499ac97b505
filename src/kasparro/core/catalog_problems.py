"""What Pydantic says about a declaration in; what a person can act on out: place, fault, nearest known word.

No message repeats a value, because a value may be a secret; names of keys and the words a field accepts are shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kasparro.core.declarations.sources import BaseSource
from kasparro.core.yaml_tree import Place

_MAPPING: Final = "must be a mapping of keys to values"
_LIST: Final = "must be a list"
_WHOLE: Final = "must be a whole number"
_BOOLEAN: Final = "must be true or false"
_TEXT: Final = "must be text"
_MESSAGES: Final = {
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "is too large",
    "int_from_float": _WHOLE,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "string_type": _TEXT,
    "string_unicode": "contains characters that are not text",
}
_BOUNDS: Final = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to fix in a declaration; *place* is below the source and may name keys that are not written."""

    place: Place
    message: str


def faults(
    error: ValidationError, model: type[BaseSource], is_secret: Callable[[Place], bool]
) -> Iterator[Fault]:
    """Translate *error*, raised by *model*. From a value at a place that *is_secret* no hint is taken."""
    for details in error.errors(include_url=False):
        place = tuple(details["loc"])
        if details["type"] == "extra_forbidden":
            yield Fault(place, f"unknown key. {nearest(str(place[-1]), known_keys(model, place[:-1]))}")
        elif details["type"] == "missing":
            yield Fault(place[:-1], f"{place[-1]} is missing")
        elif details["type"] == "declaration":
            for refusal in details["ctx"]["refusals"]:
                yield Fault((*place, *refusal.at), _sentence(refusal.message, refusal.hint))
        elif place and place[-1] == "[key]":
            yield Fault(place[:-1], f"unknown field. {nearest(str(place[-2]), _words(details))}")
        else:
            yield Fault(place, _message(details, known_tags(model, place), secret=is_secret(place)))


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which of the *known* words is meant, or which there are."""
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(known)}"


def known_keys(model: type[BaseSource], place: Place) -> list[str]:
    """The keys that the block at *place* of a declaration of *model* has, as they are written."""
    return [
        key
        for block in _blocks(model, place)
        for key in _fields(block)
        if key not in getattr(block, "given_by_loader", ())
    ]


def known_tags(model: type[BaseSource], place: Place) -> list[str]:
    """The types that the block at *place* can have."""
    return [
        str(block.model_fields["type"].default)
        for block in _blocks(model, place)
        if "type" in block.model_fields
    ]


def _blocks(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that *place* can hold. Pydantic puts the type of a block into its places, after the block's key."""
    blocks = [model]
    for step in place:
        tagged = [b for b in blocks if "type" in b.model_fields and b.model_fields["type"].default == step]
        inner = [found for block in blocks for found in _models(_fields(block).get(str(step)))]
        blocks = (tagged if len(blocks) > 1 else []) or inner or blocks
    return blocks


def _fields(block: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in block.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _message(details: ErrorDetails, tags: list[str], *, secret: bool) -> str:
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "union_tag_invalid":
            message = _choice("unknown type", "" if secret else str(context["tag"]), tags)
        case "union_tag_not_found":
            message = f"needs a type: one of {', '.join(tags)}"
        case "literal_error" | "enum":
            message = _choice("unknown word", "" if secret else str(details["input"]), _words(details))
        case "string_too_short" | "too_short":
            message = "must not be empty"
        case "string_too_long" | "too_long":
            message = f"must not be longer than {context['max_length']} characters"
        case "value_error":
            message = str(context["error"])
        case _ if kind in _BOUNDS:
            key, words = _BOUNDS[kind]
            message = f"{words} {context[key]}"
        case _:
            message = _MESSAGES.get(kind, f"is not usable ({kind.replace('_', ' ')})")
    return message


def _choice(fault: str, word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f"{fault}. Did you mean {close[0]!r}?" if close else f"{fault}; must be one of {', '.join(known)}"


def _words(details: ErrorDetails) -> list[str]:
    return str(details["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")


def _sentence(message: str, hint: str | None) -> str:
    return f"{message}. {hint}" if hint else message
