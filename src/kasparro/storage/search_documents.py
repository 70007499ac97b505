"""The words of records, kept for search: one row of `record_search` a record, of the sources that declare `search`.

They are written in the transaction that writes the records, and cost a source that does not declare it nothing. When a
declaration changes, the documents of what is stored are made again at the beginning of the next run, under its lease.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection

from kasparro.core.database import Database
from kasparro.core.errors import RunInterrupted
from kasparro.schemas.ingest import Batch, SourceName
from kasparro.storage.arrays import TextArray
from kasparro.storage.patience import Patience
from kasparro.storage.reading import only_source
from kasparro.storage.writes import CHANNEL

Connection = AsyncConnection[Any]

PIECE: Final = 2_000
"""Records whose documents are made in one transaction when a declaration has changed."""

LETTERS: Final = {"title": ("A", 10_000), "description": ("B", 100_000), "content": ("C", 100_000)}
"""How much a word counts where it stands, and how many characters are looked at: a vector holds a megabyte."""


def _vector() -> str:
    parts = [
        f"setweight(to_tsvector(%(language)s::text::regconfig, coalesce(left(n.data->>'{field}', {most}), '')), '{letter}')"
        for field, (letter, most) in LETTERS.items()
    ]
    names = "left(concat_ws(' ', n.data->>'author', n.data->>'category'), 10000)"
    return " || ".join([*parts, f"setweight(to_tsvector(%(language)s::text::regconfig, {names}), 'D')"])


INSERT: Final = f"""
INSERT INTO record_search (record_id, language, vector, title, source)
SELECT n.id, %(language)s::text, {_vector()}, left(n.data->>'title', 200), %(source)s::text
FROM {{records}}
ON CONFLICT (record_id) DO UPDATE
SET language = excluded.language, vector = excluded.vector, title = excluded.title, source = excluded.source
"""

WRITE: Final = INSERT.format(
    records="""unnest(%(ids)s::text[]) AS u (id) CROSS JOIN LATERAL (
        SELECT id, data FROM normalized_data WHERE source = %(source)s AND source_id = u.id LIMIT 1
    ) AS n"""
)

PIECE_OF_SOURCE: Final = f"""
    SELECT id, data FROM normalized_data
    WHERE {only_source("source")} AND (source, id) > (%(source)s, %(after)s) ORDER BY source, id LIMIT {PIECE}
"""
MAKE_PIECE: Final = f"{INSERT.format(records=f'({PIECE_OF_SOURCE}) AS n')} RETURNING record_id"
DROP_PIECE: Final = f"""
DELETE FROM record_search WHERE record_id IN (
    SELECT d.record_id FROM record_search AS d JOIN normalized_data AS n ON n.id = d.record_id
    WHERE n.source = %(source)s LIMIT {PIECE}
) RETURNING record_id
"""

FORM: Final = 1
"""What a document is made of. Those of an older form answer as well, only slower, and are made again at the next run."""

IN_FORCE: Final = f"""
SELECT search_language, search_form = {FORM} FROM etl_checkpoint WHERE source = %(source)s
"""
SETTLE: Final = f"""
UPDATE etl_checkpoint
SET search_language = %(language)s, search_form = {FORM}, version = version + (%(after)s > 0)::int,
    changed_at = CASE WHEN %(after)s > 0 THEN now() ELSE changed_at END
WHERE source = %(source)s RETURNING version
"""


async def write(connection: Connection, source: SourceName, language: str | None, batch: Batch) -> None:
    """The documents of the records that a batch has written to the dataset."""
    if language is None:
        return
    ids = TextArray(item.keyed.external_id for item in (*batch.new, *batch.changed) if item.data is not None)
    if ids.values:
        await connection.execute(WRITE, {"source": source, "language": language, "ids": ids})


async def settle(database: Database, language: str | None, patience: Patience) -> None:
    """Let the documents of a source be those its declaration asks for; *language* is None where it is not searched.

    Answers to searches change with it, so the dataset version grows. Raises `RunInterrupted` when told to stop meanwhile; what is
    left is made by the next run.
    """
    source = patience.source
    values: dict[str, Any] = {"source": source, "language": language, "after": 0}

    async def is_so() -> bool:
        async with database.driver_transaction() as connection:
            row = await (await connection.execute(IN_FORCE, values)).fetchone()
            in_force, of_this_form = row or (None, False)
            return bool(in_force == language and (of_this_form or language is None))

    async def piece() -> list[tuple[int]]:
        async with database.driver_transaction() as connection:
            statement = DROP_PIECE if language is None else MAKE_PIECE
            return await (await connection.execute(statement, values)).fetchall()

    async def finish() -> None:
        async with database.driver_transaction() as connection:
            row = await (await connection.execute(SETTLE, values)).fetchone()
            if row and values["after"]:
                await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{source}:{row[0]}"))

    if await patience.with_(is_so):
        return
    while made := await patience.with_(piece):
        values["after"] = max(record for (record,) in made)
        if patience.stop.is_set():
            raise RunInterrupted
    await patience.with_(finish)
