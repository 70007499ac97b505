"""dlt as its documentation begins: dicts, validated by a Pydantic model, merged by the key.

`dlt_pydantic.py URL FILE KEY[,KEY]`
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator

import dlt
from pydantic import create_model


def main(url: str, file: str, key: list[str]) -> None:
    with open(file, newline="") as header:  # noqa: PTH123  # a script as its author would write it
        columns = next(csv.reader(header))
    model = create_model("Row", **dict.fromkeys(columns, (str | None, None)))  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "peer",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(url),
            dataset_name="peer",
        )
        rows = dlt.resource(
            records(file), name="loaded", primary_key=key, write_disposition="merge", columns=model
        )
        pipeline.run(rows).raise_on_failed_jobs()


def records(file: str) -> Iterator[list[dict[str, str | None]]]:
    with open(file, newline="") as lines:  # noqa: PTH123  # as above
        page = []
        for row in csv.DictReader(lines):
            page.append({name: None if cell in {"", "NA"} else cell for name, cell in row.items()})
            if len(page) == 5000:  # noqa: PLR2004  # a page
                yield page
                page = []
        yield page


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
