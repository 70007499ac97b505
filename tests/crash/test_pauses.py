"""A database that is full, read-only or recovering pauses a source: it waits, says so, ends when asked to, goes on by itself."""

from __future__ import annotations

import asyncio
import json
import signal

import psycopg
import pytest
from psycopg import sql

from cli_process import Kasparro
from crash.failpoints import Action, Failpoint
from crash.victim import DONE

pytestmark = pytest.mark.anyio

FULL = """
CREATE TABLE no_room (since timestamptz DEFAULT now());
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM no_room) THEN
        RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER no_room AFTER INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION no_room();
"""
"""53100 as the server says it, wherever a test wants it. What a real full disk does to it is in `test_database_faults`."""


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def read_only(url: str, *, on: bool) -> None:
    """As on a failover: new connections find a standby, and the old ones are gone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = sql.Identifier(connection.info.dbname)
        value = sql.SQL("on" if on else "off")
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(name, value)
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


async def said(victim, what: str) -> dict[str, object]:
    """Wait until the victim's log has an event of that name."""
    async with asyncio.timeout(60):
        while True:
            for line in victim.said().splitlines():
                if f'"{what}"' in line and line.startswith("{"):
                    return json.loads(line)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("table", ["normalized_data", "raw_data_csv", "source_lease", "etl_run"])
async def test_a_full_disk_pauses_the_source_until_there_is_room(scenes, table):
    scene = scenes("csv")
    execute(scene.url, FULL.replace("{table}", table))
    execute(scene.url, "INSERT INTO no_room DEFAULT VALUES")
    victim = scene.start()

    paused = await said(victim, "source.paused")
    assert paused["reason"] == "storage_full"
    assert "No space left" in paused["message"]
    assert "Free space" in paused["advice"]
    scene.check_instant()
    execute(scene.url, "DELETE FROM no_room")

    assert await victim.ended() == DONE
    assert "source.resumed" in victim.said()
    scene.check_end()


async def test_a_database_that_becomes_read_only_pauses_the_source_until_it_is_writable(scenes):
    scene = scenes("api")
    victim = scene.start(Failpoint("commit", "before", 2, Action.STOP))
    await victim.stopped()
    read_only(scene.url, on=True)
    victim.wake()

    paused = await said(victim, "source.paused")
    assert paused["reason"] == "database_read_only"
    read_only(scene.url, on=False)

    assert await victim.ended() == DONE
    scene.check_end()


def test_ctrl_c_ends_a_pause_at_once_and_leaves_a_resumable_checkpoint(database_url, tmp_path):
    """Through the real command line, which says to whoever sits there what it waits for."""
    kasparro = Kasparro(tmp_path, {"DATABASE_URL": database_url, "ETL_BATCH_SIZE": "10"})
    kasparro.catalog("sources:\n  things:\n    type: csv\n    path: things.csv\n    key: id\n")
    kasparro.csv("things", 100)
    execute(database_url, FULL.replace("{table}", "raw_data_csv"))
    execute(database_url, "CREATE SEQUENCE batches")
    execute(
        database_url,
        "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('batches') > 3 AND EXISTS (SELECT FROM no_room) THEN"
        " RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END IF; RETURN NULL; END $$",
    )
    execute(database_url, "INSERT INTO no_room DEFAULT VALUES")
    process = kasparro.start("ingest", "things")
    assert process.stderr is not None
    heard = ""
    for line in process.stderr:
        heard += line
        if "source.paused" in line:
            break
    assert "storage_full" in heard
    assert "Free space" in heard

    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGINT, heard + rest
    with psycopg.connect(database_url) as connection:
        status, cursor = connection.execute("SELECT status, cursor FROM etl_checkpoint").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM normalized_data").fetchone()
    assert (status, count) == ("in_progress", 30)
    assert cursor is not None
    execute(database_url, "DELETE FROM no_room")
    assert kasparro.process("ingest", "things").returncode == 0
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM normalized_data").fetchone() == (100,)
