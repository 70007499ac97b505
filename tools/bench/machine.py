"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psycopg

Facts = dict[str, object]
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


def machine(server: str) -> Facts:
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": postgresql(server),
        "load_before": round(os.getloadavg()[0], 2),
    }


def postgresql(server: str) -> str:
    with psycopg.connect(server) as connection:
        names = ("server_version", *SETTINGS)
        version, *values = [connection.execute(f"SHOW {name}").fetchone() for name in names]
    settings = ", ".join(f"{name} {value[0]}" for name, value in zip(SETTINGS, values, strict=True) if value)
    return f"{version[0] if version else ''} (embedded, {settings})"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
