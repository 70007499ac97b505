"""`kasparro graphql`, and who does not pay for it."""

from __future__ import annotations

import subprocess
import sys

from graphql import build_schema, find_breaking_changes

from kasparro.api.graphql.schema import SCHEMA
from kasparro.cli.main import main


def test_the_schema_that_is_printed_is_the_schema_that_is_served(capsys):
    assert main(["graphql", "schema"]) == 0

    printed = build_schema(capsys.readouterr().out)
    assert find_breaking_changes(printed, SCHEMA) == find_breaking_changes(SCHEMA, printed) == []


def test_whoever_does_not_ask_does_not_import_it():
    commands = "import kasparro.cli.ingest, kasparro.cli.serve, kasparro.cli.up, kasparro.cli.worker"
    found = "print([name for name in sys.modules if name.partition('.')[0] in {'strawberry', 'graphql'}])"
    process = subprocess.run(
        [sys.executable, "-c", f"import sys; {commands}; {found}"], capture_output=True, text=True, check=True
    )

    assert process.stdout.strip() == "[]"
