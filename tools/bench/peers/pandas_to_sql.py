"""The script everybody has: pandas reads, `to_sql` writes. Nothing is merged: a rerun replaces.

`pandas_to_sql.py URL FILE KEY[,KEY]`
"""

from __future__ import annotations

import sys

import pandas as pd
from sqlalchemy import create_engine, text


def main(url: str, file: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS peer"))
        connection.execute(text("DROP TABLE IF EXISTS peer.loaded"))
        for rows in pd.read_csv(file, chunksize=10_000, low_memory=False):
            rows.to_sql("loaded", connection, schema="peer", if_exists="append", index=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
