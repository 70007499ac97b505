"""Ask and measure: a question in, how many answers a second, how long they took, and what they cost their server out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from bench_api.contestants import Question
from bench_api.servers import HERE


@dataclass(frozen=True, slots=True)
class Asked:
    """`cpu_us`: processor time of the server's process for one answer, without that of PostgreSQL."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    bytes: int


def ask(question: Question, seconds: float, connections: int = 16) -> Asked:
    """Ask for *seconds* on so many *connections*. Ends the benchmark when an answer is not what it has to be."""
    before = question.server.cpu_seconds()
    got = load(question, seconds, connections)
    cpu = question.server.cpu_seconds() - before
    if set(got["statuses"]) != {question.status}:
        sys.exit(f"bench: {question.name} was answered with {got['statuses']}")
    times = {name: got[name] for name in ("per_second", "p50_ms", "p95_ms", "p99_ms", "bytes")}
    return Asked(cpu_us=cpu / got["requests"] * 1e6, **times)


def load(question: Question, seconds: float, connections: int) -> dict[str, Any]:
    orders = {
        "port": question.server.port,
        "requests": [question.request, *question.others],
        "connections": connections,
        "seconds": seconds,
    }
    command = [sys.executable, str(HERE / "load.py"), json.dumps(orders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode:
        sys.exit(f"bench: {question.name} cannot be asked\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
