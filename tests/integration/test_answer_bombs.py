"""Answers made to exhaust whoever reads them, read by a process that has little memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and measures memory as Linux does"),
]

TESTS = Path(__file__).parent.parent
EXPECTED = {
    "gzip": ("response_too_large", 0, 0),
    "gzip in gzip": ("unexpected_content", 0, 0),
    "deflate": ("response_too_large", 0, 0),
    "br": ("response_too_large", 0, 0),
    "zstd": ("response_too_large", 0, 0),
    "depth": ("unexpected_content", 0, 0),
    "depth of objects": ("unexpected_content", 0, 0),
    "depth in a record": ("", 0, 1),
    "width": ("", 1, 0),
    "text": ("", 1, 0),
    "quotes": ("truncated_content", 0, 0),
    "numbers": ("", 1, 0),
    "digits": ("", 1, 0),
    "laughs": ("unexpected_content", 0, 0),
    "depth of xml": ("unexpected_content", 0, 0),
    "attribute": ("response_too_large", 0, 0),
    "cell": ("unexpected_content", 0, 0),
    "line": ("response_too_large", 0, 0),
}


@pytest.mark.parametrize("bomb", EXPECTED)
async def test_a_bomb_is_refused_or_read_in_little_memory(bomb):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(TESTS / "integration" / "bomb_reader.py"), bomb),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    out, _ = await process.communicate()
    told = json.loads(out.splitlines()[-1])
    assert (told["code"], told["records"], told["rejects"]) == EXPECTED[bomb]
    assert told["grown_mib"] < 64
