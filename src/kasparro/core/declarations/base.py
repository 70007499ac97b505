"""What all declarations share: they are frozen, know no other keys, and never repeat a value in an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


class Declaration(BaseModel):
    """A block of the catalog."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        defer_build=True,
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong, without repeating a value (it may be a secret); where, below what is validated; what to do."""

    message: str
    at: tuple[str | int, ...] = ()
    hint: str | None = None


def refuse(message: str, *, at: tuple[str | int, ...] = (), hint: str | None = None) -> NoReturn:
    """Fail validation; see `Refusal`."""
    refuse_all([Refusal(message, at, hint)])
    raise AssertionError  # refuse_all has raised


def refuse_all(refusals: Sequence[Refusal]) -> None:
    """Fail validation if there are *refusals*."""
    if refusals:
        raise PydanticCustomError("declaration", "the declaration has faults", {"refusals": refusals})


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        refuse("must be text, a number, true or false")
    return value


def _scalar_or_none(value: Any) -> Any:
    return value if value is None else _scalar(value)


Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
OptionalScalar = Annotated[str | int | float | bool | None, BeforeValidator(_scalar_or_none)]
