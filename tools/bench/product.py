"""Kasparro as its users run it: `kasparro ingest --json` as a process, and what has to be true of its report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.measuring import Ran
from bench.processes import run

TABLES = "^(raw_data_(csv|api|stream)|normalized_data)$"

Expected = Mapping[str, int]
"""Counters of a run by their names in the report, without `records_`."""


def ingest(folder: Path, url: str, expected: Expected, *options: str) -> Ran:
    """Ingest what the catalog in *folder* declares, and make sure that every counter is as *expected*."""
    command = [sys.executable, "-m", "kasparro", "ingest", "--json", *options]
    environment = {
        "DATABASE_URL": url,
        "KASPARRO_CONFIG": str(folder / "kasparro.yaml"),
        "LOG_LEVEL": "WARNING",
    }
    finished = run(command, folder, environment)
    (report,) = json.loads(finished.output)
    counted = {name: report[f"records_{name}"] for name in expected}
    if counted != expected:
        sys.exit(f"bench: in {folder.name} {dict(expected)} was expected, and the report says {report}")
    return Ran(finished.seconds, finished.cpu_seconds, finished.peak_mib, report["duration_ms"] / 1000)
