"""`type: singer`: a tap, a program that speaks the Singer protocol, as a source. Validated here, run by `ingestion.singer`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, SecretStr, field_validator, model_validator

from kasparro.core.declarations.base import Refusal, refuse, refuse_all
from kasparro.core.declarations.expressions import Text
from kasparro.core.declarations.mapping import FieldMap, check_expressions
from kasparro.core.declarations.sources import BaseSource
from kasparro.core.durations import Duration
from kasparro.core.redaction import is_secret_name

DISCOVER: Final = "discover"
NO_CATALOG: Final = "none"
_TELLING: Final = 8
"""From this length on, what a variable brought into `config` is hidden wherever it appears; shorter texts are words and ports."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEFT_TO_THE_TAP: Final = {
    "incremental": "The tap keeps its own state; what it takes for it, such as a start date, goes into `config`",
    "snapshot": "A tap does not say what is gone",
}


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return tuple(shlex.split(value))
    except ValueError:
        refuse("has a quotation that does not end", hint="Write it as a list of words")


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _variable_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        refuse("is not the name of a variable", hint="Write NAME; its value is taken from the environment")
    return name


def _argument(word: str) -> str:
    if "\0" in word:
        refuse("contains a NUL character")
    return word


class SingerSource(BaseSource):
    """A Singer tap: a program of its own that writes records."""

    given_by_loader: ClassVar[frozenset[str]] = frozenset({"name", "folder", "secrets"})

    type: Literal["singer"] = Field("singer", description="A Singer tap: a program that writes records.")
    folder: Path = Path()
    secrets: tuple[SecretStr, ...] = ()
    command: tuple[Annotated[Text, AfterValidator(_argument)], ...] = Field(
        min_length=1,
        description="The tap and its arguments, a text or a list; no shell reads it. A path is relative to the catalog's folder.",
    )
    config: dict[str, JsonValue] = Field(
        default_factory=dict, repr=False, description="What the tap is configured with; secrets as ${NAME}."
    )
    catalog: Literal["discover", "none"] | dict[str, JsonValue] | Text = Field(
        DISCOVER,
        union_mode="left_to_right",
        description="The tap's catalog: `discover` asks the tap, `none` gives it none; a file; or the catalog itself.",
    )
    streams: tuple[Text, ...] = Field(
        (), description="The streams to take, one or a list; left out: all of the catalog."
    )
    env: tuple[Annotated[Text, AfterValidator(_variable_name)], ...] = Field(
        (), description="Names of environment variables that the tap may see, beside the usual ones."
    )
    timeout: Duration = Field(
        timedelta(minutes=10),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="The longest silence of the tap before it is ended.",
    )

    @field_validator(
        "command", mode="before", json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _words(value)

    @field_validator("streams", "env", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return _one_or_more(value)

    @field_validator("map")
    @classmethod
    def _map_of_expressions(cls, field_map: FieldMap) -> FieldMap:
        return check_expressions(field_map)

    @model_validator(mode="after")
    def _left_to_the_tap(self) -> SingerSource:
        refuse_all(
            [
                Refusal("does not go with a tap", (key,), hint)
                for key, hint in _LEFT_TO_THE_TAP.items()
                if getattr(self, key, None)
            ]
        )
        return self

    @property
    def hidden(self) -> tuple[str, ...]:
        """The texts that nobody is to see."""
        return tuple(secret.get_secret_value() for secret in self.secrets)

    def _fetched(self) -> dict[str, Any]:
        shown = self.model_dump(mode="json", include={"type", "command", "catalog", "streams", "key"})
        return shown | {"config": _without(self.config, frozenset(self.hidden))}


def secrets_of(config: Any, from_variables: frozenset[tuple[str | int, ...]]) -> tuple[SecretStr, ...]:
    """The texts of a tap's *config* that are to be hidden: by the name they have, or because a variable brought them."""
    if not isinstance(config, Mapping):
        return ()
    found = {
        text
        for place, text in _texts(config)
        if any(isinstance(step, str) and is_secret_name(step) for step in place)
        or (place in from_variables and len(text) >= _TELLING)
    }
    return tuple(SecretStr(text) for text in sorted(found) if text)


def _texts(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    match value:
        case Mapping():
            for key, item in value.items():
                yield from _texts(item, (*place, key))
        case list() | tuple():
            for at, item in enumerate(value):
                yield from _texts(item, (*place, at))
        case str():
            yield place, value
        case _:
            pass


def _without(value: Any, hidden: frozenset[str]) -> Any:
    """*value* as it counts for the fingerprint: a new password is no reason to read everything again."""
    match value:
        case dict():
            return {key: _without(item, hidden) for key, item in value.items()}
        case list():
            return [_without(item, hidden) for item in value]
        case str():
            return None if value in hidden else value
        case _:
            return value
