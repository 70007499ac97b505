import pytest
from psycopg import AsyncConnection

from kasparro.core.database import Database
from kasparro.core.errors import DatabaseUnavailable
from kasparro.storage.diagnostics import Diagnostics, ReasonCount

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url):
    database = Database(database_url)
    yield database
    await database.close()


async def test_the_server_says_what_it_is_and_what_it_promises(database):
    facts = await Diagnostics(database).server()

    assert int(facts.version.partition(".")[0]) >= 15
    assert facts.size > 0
    assert facts.max_connections > 0
    assert not facts.read_only


async def test_the_commonest_reasons_of_each_run_come_first(database, database_url):
    rejects = {
        "run_a_1": {"no_identity": 1, "wrong_type": 3, "too_deep": 2, "invalid_time": 1},
        "run_a_2": {"ragged_row": 1},
    }
    async with await AsyncConnection.connect(database_url) as connection:
        for run_id, reasons in rejects.items():
            await connection.execute("INSERT INTO etl_run (run_id, source) VALUES (%s, 'a')", [run_id])
            for reason, count in reasons.items():
                for number in range(count):
                    await connection.execute(
                        """
                        INSERT INTO quarantine (source, fingerprint, raw_data, place, reason, message, run_id)
                        VALUES ('a', %s, '{}', 'here', %s, 'why', %s)
                        """,
                        [f"{run_id} {reason} {number}".encode(), reason, run_id],
                    )

    found = await Diagnostics(database).reject_reasons(["run_a_1", "run_b_1"], most=3)

    assert found == {
        "run_a_1": [ReasonCount("wrong_type", 3), ReasonCount("too_deep", 2), ReasonCount("invalid_time", 1)]
    }


async def test_no_server_is_told_as_such():
    database = Database("postgresql://postgres@127.0.0.1:1/none")

    with pytest.raises(DatabaseUnavailable):
        await Diagnostics(database).server()

    await database.close()
