"""The layers hold, and the contracts that say so bite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, checked on the package as it stands in *project*."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path):
    """The package and its contracts, to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "data")
    )
    return tmp_path


def test_every_contract_is_kept():
    checked = lint_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/planted.py", "import kasparro.storage.dataset", "layers below it"),
        ("storage/planted.py", "import kasparro.ingestion.runner", "siblings do not know"),
        ("worker/planted.py", "import kasparro.api", "siblings do not know"),
        ("core/planted.py", "def f():\n    import kasparro.services.ingestion", "layers below it"),
        ("helpers/__init__.py", "", "layers below it"),
        ("ingestion/planted.py", "import psycopg", "Ingestion knows no SQL"),
        ("api/planted.py", "import sqlalchemy", "speak to PostgreSQL"),
    ],
    ids=["upwards", "sibling", "siblings on top", "hidden in a function", "no such layer", "SQL", "driver"],
)
def test_a_violation_is_found(copy, module, line, contract):
    planted = copy / "src" / "kasparro" / module
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{line}\n")

    checked = lint_imports(copy)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert contract in " ".join(checked.stdout.split())
