"""What tells one database from all others, copies of the same name too. Answers that are shared are named by it."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection

IDENTITY: Final = """
SELECT has_function_privilege('pg_control_system()', 'execute'),
       concat_ws('/', oid, datname, inet_server_addr(), inet_server_port())
FROM pg_database WHERE datname = current_database()
"""
CLUSTER: Final = """
SELECT concat_ws('/', s.system_identifier, d.oid)
FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()
"""
"""Everybody may ask for it, unless somebody has forbidden it; then a database goes by where it is."""


async def identity_of(connection: AsyncConnection[Any]) -> str:
    row = await (await connection.execute(IDENTITY)).fetchone()
    assert row is not None  # noqa: S101  # we are connected to it
    may_ask, place = row
    if may_ask:
        row = await (await connection.execute(CLUSTER)).fetchone()
        assert row is not None  # noqa: S101  # likewise
        return str(row[0])
    return str(place)
