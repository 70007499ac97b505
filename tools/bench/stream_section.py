"""Memory, whatever the size of the file: a CSV file of many GiB that is never on the disk in full, as it is compressed well.

Its keys come again and again, so that the tables stay small and only the reading goes on.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import product
from bench.generated import SEED
from bench.measuring import Chain, Ran, Step, fresh
from bench.sections import Place, Section
from bench.server import MIGRATED

KEYS = 20_000
FILLER = " ".join(f"{word} of the text that every row has" for word in ("beginning", "middle", "end") * 8)
COLUMNS = ["id", "name", "amount", "text"]
CATALOG = "sources: {stream: {type: csv, path: rows.csv.gz, key: id, map: {title: name, content: text}}}\n"


@contextmanager
def stream_section(place: Place) -> Iterator[Section]:
    folder = place.folder / "stream"
    folder.mkdir()
    (folder / "kasparro.yaml").write_text(CATALOG)
    block = text(rows())
    times = max(1, round(place.stream_gib * 2**30 / len(block)))
    packed = write(folder / "rows.csv.gz", block, times)
    records = times * KEYS
    step = Step("stream", records, partial(read, folder, records), product.TABLES)
    facts = {
        "GiB": round(times * len(block) / 2**30, 2),
        "MiB on disk": round(packed / 2**20, 1),
        "rows": records,
        "keys": KEYS,
    }
    yield Section("stream", facts, [Chain((step,), fresh(MIGRATED))], once=True)


def read(folder: Path, records: int, url: str) -> Ran:
    return product.ingest(folder, url, {"processed": records, "inserted": KEYS, "updated": 0, "failed": 0})


def rows() -> Iterator[list[str]]:
    random_ = random.Random(SEED)  # noqa: S311  # the same file every time
    for number in range(KEYS):
        yield [str(number), f"name {random_.randint(0, 10**6)}", str(random_.randint(0, 10**9)), FILLER]


def text(lines: Iterator[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode()


def write(path: Path, block: bytes, times: int) -> int:
    """Gzip members one behind the other are one gzip file: every block is packed once and written many times."""
    packed = gzip.compress(block, mtime=0)
    with path.open("wb") as file:
        file.write(gzip.compress(text(iter([COLUMNS])), mtime=0))
        for _ in range(times):
            file.write(packed)
    return path.stat().st_size
