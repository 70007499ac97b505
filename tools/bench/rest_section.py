"""REST: 100,000 records in pages of a hundred, from a server beside us. Pages have numbers, or each names the next."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import product
from bench.measuring import Chain, Ran, Step, fresh
from bench.rest_server import SIZE
from bench.sections import Place, Section
from bench.server import MIGRATED

SCRIPT = Path(__file__).with_name("rest_server.py")
RECORDS = 100_000
LATENCIES = (0, 20)
"""Milliseconds from a question to its answer."""
PAGINATION = {
    "pages": "{type: page, param: page}",
    "cursor": "{type: cursor, param: after, next: next}",
}
STEPS = tuple(f"{kind}-{latency}ms" for kind in PAGINATION for latency in LATENCIES)
CATALOG = """sources:
  rest:
    type: api
    url: http://127.0.0.1:{port}/{latency}/{kind}
    key: id
    pagination: {pagination}
    map: {{title: name, author: owner.login, published_at: created_at, category: kind}}
"""


@contextmanager
def rest_section(place: Place) -> Iterator[Section]:
    records = min(place.rows, RECORDS)
    root = place.folder / "rest"
    root.mkdir()
    with serving(records) as port:
        chains = [chain(root, port, kind, latency, records) for kind in PAGINATION for latency in LATENCIES]
        yield Section("rest", {"records": records, "page": SIZE}, chains)


def chain(root: Path, port: int, kind: str, latency: int, records: int) -> Chain:
    name = f"{kind}-{latency}ms"
    folder = root / name
    folder.mkdir()
    catalog = CATALOG.format(port=port, latency=latency, kind=kind, pagination=PAGINATION[kind])
    (folder / "kasparro.yaml").write_text(catalog)
    step = Step(name, records, partial(fetched, folder, records), product.TABLES)
    return Chain((step,), fresh(MIGRATED))


def fetched(folder: Path, records: int, url: str) -> Ran:
    return product.ingest(folder, url, {"processed": records, "inserted": records})


@contextmanager
def serving(records: int) -> Iterator[int]:
    """The port of a server that is ready."""
    command = [sys.executable, "-P", str(SCRIPT), str(records)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # our own
        try:
            said = server.stdout.readline() if server.stdout else ""
            if not said:
                sys.exit("bench: the REST server did not start")
            yield int(said)
        finally:
            server.terminate()
