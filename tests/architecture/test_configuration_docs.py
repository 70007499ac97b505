import re
from pathlib import Path

import pytest

from kasparro.core.config import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(
    r"^\| `(?P<name>[A-Z_]+)` \| (?P<unit>[^|]+) \| (?P<default>[^|]+) \| (?P<reason>[^|]+) \|$", re.MULTILINE
)
ROWS = {row["name"]: row for row in ROW.finditer(PAGE.read_text())}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_unit_default_and_reason(name):
    row = ROWS[name.upper()]

    assert row["default"].strip() == written(
        Settings.model_fields[name].get_default(call_default_factory=True)
    )
    assert row["unit"].strip()
    assert len(row["reason"].split()) >= 3


def test_every_documented_setting_exists():
    assert {name.lower() for name in ROWS} <= set(Settings.model_fields)


def written(default):
    if default is None or default in ({}, ()):
        return "unset"
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)
