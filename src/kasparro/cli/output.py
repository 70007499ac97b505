"""What commands print on stdout: tables and lines for people, or one JSON document for programs.

Text from sources and from the database is made harmless to the terminal here. Logs and progress go to stderr, elsewhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kasparro.core.redaction import for_people

WIDE: Final = 10_000
"""Columns of what is not a terminal: nothing is cut or wrapped in a file or a pipe."""

MISSING: Final = "-"

STYLES: Final = {
    "success": "green",
    "ok": "green",
    "partial": "yellow",
    "warn": "yellow",
    "skipped": "dim",
    "failed": "red",
    "fail": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    numeric: bool = False


def numeric(*titles: str) -> list[Column]:
    return [Column(title, numeric=True) for title in titles]


def textual(*titles: str) -> list[Column]:
    return [Column(title) for title in titles]


def print_json(document: Any) -> None:
    """Write one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    sys.stdout.write(for_people(text) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; numbers are grouped, times are UTC, what is absent is a dash."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _print(table)


def _print(table: Table) -> None:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().rstrip().split("\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
    sys.stdout.flush()


def shown(value: Any) -> str:
    """*value* as a cell of a table."""
    match value:
        case None | "":
            return MISSING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case _:
            return for_people(str(value))


def _cell(value: Any) -> Text:
    text = shown(value)
    return Text(text, style=STYLES.get(text, ""))


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def print_texts(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write texts of several lines side by side."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_lines=True)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text("\n".join(for_people(line) for line in text.split("\n"))) for text in row))
    _print(table)
