"""The table `api_key`: what the command line makes and revokes, and what the API asks for every few seconds."""

from __future__ import annotations

from typing import Final

from psycopg.rows import class_row

from kasparro.core.config import Scope
from kasparro.core.database import Database
from kasparro.core.errors import NotFound
from kasparro.schemas.keys import ActiveKey, ApiKeyView, KeyOrder, digest_of, new_key, prefix_of

MOST_ACTIVE: Final = 10_000
"""Keys that can be in use at once: each process of the API holds them all."""


class ApiKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, order: KeyOrder) -> str:
        """Make a key and return it; it cannot be had again."""
        key = new_key()
        values = (
            prefix_of(key),
            digest_of(key.encode()),
            order.name,
            order.scope.value,
            order.rate_per_minute,
            order.expires_at,
        )
        async with self._database.driver_transaction() as connection:
            await connection.execute(INSERT, values)
        return key

    async def revoke(self, prefix: str) -> ApiKeyView:
        """Revoke a key; one that is revoked stays so. Raises `NotFound`."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(ApiKeyView)) as cursor,
        ):
            await cursor.execute(REVOKE, (prefix,))
            revoked = await cursor.fetchone()
        if revoked is None:
            raise NotFound(f"there is no key {prefix!r}", hint="List them: kasparro keys list")
        return revoked

    async def all(self) -> list[ApiKeyView]:
        """Every key that was ever made, the oldest first."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(ApiKeyView)) as cursor,
        ):
            await cursor.execute(f"SELECT {SHOWN} FROM api_key ORDER BY id")
            return await cursor.fetchall()

    async def active(self) -> list[ActiveKey]:
        """The keys that are neither revoked nor expired, the newest first."""
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(ACTIVE, (MOST_ACTIVE,))
            return [
                ActiveKey(prefix, digest, Scope(scope), rate, expires_at)
                for prefix, digest, scope, rate, expires_at in await cursor.fetchall()
            ]


SHOWN: Final = "prefix, name, scope, rate_per_minute, created_at, expires_at, revoked_at"
INSERT: Final = """
    INSERT INTO api_key (prefix, digest, name, scope, rate_per_minute, expires_at) VALUES (%s, %s, %s, %s, %s, %s)
"""
REVOKE: Final = f"""
    UPDATE api_key SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE prefix = %s RETURNING {SHOWN}
"""
ACTIVE: Final = """
    SELECT prefix, digest, scope, rate_per_minute, expires_at FROM api_key
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
    ORDER BY id DESC LIMIT %s
"""
