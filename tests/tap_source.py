"""Declares the fixture tap (`taps/fixture_tap.py`) as a source."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from kasparro.core.etl_config import SingerSource

TAP = Path(__file__).parent / "taps" / "fixture_tap.py"
COMMAND = (sys.executable, "-S", str(TAP))


def tap_source(folder: Path, name: str = "tapped", **keys: Any) -> SingerSource:
    return SingerSource(**({"name": name, "folder": folder, "command": COMMAND, "catalog": "none"} | keys))


def tap_catalog(name: str = "tapped", **keys: Any) -> str:
    """The same as a catalog file."""
    source = {"type": "singer", "command": list(COMMAND), **keys}
    return yaml.safe_dump({"sources": {name: source}}, sort_keys=False)


def line(**message: Any) -> str:
    return json.dumps(message)


def record(stream: str = "users", **fields: Any) -> str:
    return line(type="RECORD", stream=stream, record=fields)


def schema(stream: str = "users", *key: str) -> str:
    return line(type="SCHEMA", stream=stream, schema={"type": "object"}, key_properties=list(key or ("id",)))


def state(value: Any) -> str:
    return line(type="STATE", value=value)
