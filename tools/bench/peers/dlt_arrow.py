"""dlt at its best for a CSV file: Arrow tables, loaded by COPY of CSV, merged by the key. `dlt_arrow.py URL FILE KEY[,KEY]`"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator

import dlt
import pyarrow as pa
from pyarrow import csv


def main(url: str, file: str, key: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "peer",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(url),
            dataset_name="peer",
        )
        rows = dlt.resource(
            tables(file),
            name="loaded",
            primary_key=key,
            write_disposition={"disposition": "merge", "strategy": "upsert"},
        )
        pipeline.run(rows, loader_file_format="csv").raise_on_failed_jobs()


def tables(file: str) -> Iterator[pa.Table]:
    """Cells that say NA are null, and the types are those Arrow finds."""
    reader = csv.open_csv(
        file,
        read_options=csv.ReadOptions(block_size=16 << 20),
        convert_options=csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True),
    )
    for batch in reader:
        yield pa.Table.from_batches([batch])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
