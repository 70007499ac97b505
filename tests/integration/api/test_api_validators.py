"""`ETag` and what is kept: 304 without a look at the data, answers that are kept equal those that are not, and none is ever old."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from kasparro.api.short_way import ShortWay
from kasparro.core.config import Scope
from kasparro.schemas.keys import KeyOrder, prefix_of
from kasparro.storage.api_keys import ApiKeys
from valkey import valkey

pytestmark = pytest.mark.anyio

VARYING = {"request_id", "api_latency_ms", "as_of"}
PATIENCE = 60

QUERIES = [
    "",
    "source=alpha",
    "source=beta&limit=2",
    "source=nobody",
    "limit=3&offset=2",
    "sort=-title&limit=4",
    "sort=-metadata.number,title",
    "title[contains]=1",
    "metadata.number[gt]=3&source=alpha",
    "metadata.number[in]=1,2,3",
    "filter=" + quote(json.dumps({"or": [{"source": "beta"}, {"metadata.number": {"lt": 2}}]})),
    "facets=source,category",
    "facets=source&source=alpha",
    "fields=id,title",
    "fields=metadata.number&source=alpha",
    "count=none",
    "count=estimated",
    "count=estimated&source=alpha",
    "title=%C3%A9",
    "title=",
]
HOSTILE = [
    "limit=0",
    "limit=1_0",
    "limit=10&limit=10",
    "limt=1",
    "source=Alpha",
    "source=alpha&source=beta",
    "cursor=zzz",
    "cursor=&offset=1",
    "sort=nothing",
    "filter={",
    "q=airports",
    "title=%00",
    "title=%ff%fe",
    "%",
    "&&&",
    "=",
    "a=b;c=d",
    "metadata=1",
    "count=some",
    "facets=title",
    "offset=99999999999999999999",
]
PATHS = ["/data/1", "/data/0", "/data/007", "/data/-1", "/data/a", "/data/1?x=1", "/data/1?", "/data/9223372036854775808",
         "/data/9223372036854775807", "/data/", "/data/1/", "/data/%31", "/Data", "/data%2F1", "//data"]  # fmt: skip


@pytest.fixture
def serve(serve):
    """Requests that say nothing of encodings are those that are known again."""

    @asynccontextmanager
    async def opened(*args, **given):
        async with serve(*args, **given) as service:
            del service.client.headers["accept-encoding"]
            yield service

    return opened


@contextmanager
def nothing_is_read(url: str):
    """While it lasts, whoever reads a record waits."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE normalized_data IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def told(answer) -> dict:
    """The answer without what is different each time."""
    body = {k: v for k, v in answer.json().items() if k not in VARYING} if answer.content else {}
    varying = {"x-request-id", "server-timing", "x-as-of", "ratelimit", "content-length", "date"}
    return {
        "status": answer.status_code,
        "headers": sorted((k, v) for k, v in answer.headers.items() if k not in varying),
        "body": body,
    }


async def test_what_one_has_is_answered_without_a_look_at_the_data(client, seed, database_url):
    seed.records("alpha", 3)
    known = {}
    for path in ("/data", "/data?source=alpha&limit=2", "/data?facets=category", "/data/1"):
        answer = await client.get(path)
        assert answer.headers["etag"].startswith('W/"'), path
        known[path] = answer.headers["etag"]

    with nothing_is_read(database_url):
        for path, tag in known.items():
            for sent in (tag, tag.removeprefix("W/"), f'"x", {tag}', f'W/"a b" ,,{tag}'):
                answer = await asyncio.wait_for(client.get(path, headers={"If-None-Match": sent}), PATIENCE)
                assert (answer.status_code, answer.content) == (304, b""), (path, sent)
                assert answer.headers["etag"] == tag
                assert "content-length" not in answer.headers
                assert answer.headers["cache-control"] == "private, no-cache"
        assert (await client.get("/data", headers={"If-None-Match": "*"})).status_code == 304


async def test_a_fresh_process_knows_what_another_has_given_out(serve, seed, database_url):
    seed.records("alpha", 3)
    async with serve() as first, serve() as second:
        tags = {
            path: (await first.client.get(path)).headers["etag"] for path in ("/data?source=alpha", "/data/2")
        }
        with nothing_is_read(database_url):
            for path, tag in tags.items():
                given = {"If-None-Match": tag}
                answer = await asyncio.wait_for(second.client.get(path, headers=given), PATIENCE)
                assert answer.status_code == 304, path


async def test_a_tag_holds_until_what_is_asked_for_changes(client, seed):
    seed.records("alpha", 2)
    seed.records("beta", 2)
    paths = ("/data?source=alpha", "/data?source=beta", "/data", "/data/1", "/data/3")
    before = {path: (await client.get(path)).headers["etag"] for path in paths}
    seed.record("alpha", {"title": "another"})
    after = {p: (await client.get(p, headers={"If-None-Match": t})).status_code for p, t in before.items()}

    assert after == {
        "/data?source=alpha": 200,
        "/data?source=beta": 304,
        "/data": 200,
        "/data/1": 200,
        "/data/3": 304,
    }
    assert len({*before.values()}) == len(paths)


@pytest.mark.parametrize(
    "sent", ["", "x", '"', "W/", '"a', "w/*", "**", '"a","b"', ", ".join(['"x"'] * 60), '"\u00e9"']
)
async def test_what_is_no_tag_of_ours_is_answered_in_full(client, seed, sent):
    seed.record("alpha", {"title": "one"})

    for path in ("/data", "/data/1"):
        assert (await client.get(path, headers={"If-None-Match": sent.encode()})).status_code == 200


async def test_a_record_that_is_not_there_is_not_found_whatever_one_has(client, seed):
    seed.record("alpha", {"title": "one"})
    tag = (await client.get("/data/1")).headers["etag"]

    for sent in ("*", tag):
        assert (await client.get("/data/4711", headers={"If-None-Match": sent})).status_code == 404


async def test_last_modified_is_told_and_never_judged_by(client, seed):
    seed.record("alpha", {"title": "one"})
    moment = datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    seed.connection.execute("UPDATE etl_checkpoint SET changed_at = %s", (moment,))
    answer = await client.get("/data")

    assert parsedate_to_datetime(answer.headers["last-modified"]) == moment.replace(microsecond=0)
    again = await client.get("/data", headers={"If-Modified-Since": answer.headers["last-modified"]})
    assert again.status_code == 200
    assert "last-modified" not in (await client.get("/data?source=nobody")).headers


async def test_estimates_have_no_tag(client, seed):
    seed.records("alpha", 3)

    assert "etag" not in (await client.get("/data?count=estimated&title[ne]=x")).headers
    assert "etag" in (await client.get("/data?count=estimated&source=alpha")).headers


async def test_what_is_kept_is_answered_while_nothing_can_be_read(client, seed, database_url):
    seed.records("alpha", 3)
    before = [(await client.get(path)).json() for path in ("/data?source=alpha", "/data/1")]

    with nothing_is_read(database_url):
        again = await asyncio.wait_for(client.get("/data?limit=10&source=alpha"), PATIENCE)
        record = await asyncio.wait_for(client.get("/data/1"), PATIENCE)

    assert again.json()["data"] == before[0]["data"]
    assert again.json()["request_id"] != before[0]["request_id"]
    assert again.json()["as_of"] > before[0]["as_of"]
    assert record.json() == before[1]


async def test_the_same_question_is_asked_once_however_many_wait(serve, seed, database_url):
    seed.records("alpha", 3)
    async with serve(db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=1) as service:
        asking = []
        with nothing_is_read(database_url):
            asking = [asyncio.create_task(service.client.get("/data?source=alpha")) for _ in range(50)]
            while service.runtime.database.pool.in_use == 0:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        answers = await asyncio.gather(*asking)

        assert {a.status_code for a in answers} == {200}
        assert len({a.json()["request_id"] for a in answers}) == 50
        assert len({json.dumps(a.json()["data"]) for a in answers}) == 1


async def test_what_is_kept_equals_what_is_not(serve, seed):
    for source in ("alpha", "beta"):
        seed.records(source, 7)
    dice = random.Random(15)
    async with serve() as keeping, serve(cache_megabytes=0) as forgetful:
        for number in range(60):
            query = "&".join(filter(None, dict.fromkeys(dice.choices(QUERIES, k=dice.choice((1, 1, 2))))))
            if dice.random() < 0.2:
                seed.record(dice.choice(("alpha", "beta")), {"title": f"new {number}"})
            answers = [await s.client.get(f"/data?{query}") for s in (keeping, keeping, forgetful)]
            assert told(answers[0]) == told(answers[1]) == told(answers[2]), query
        assert keeping.app.state.reader.cache.hits > 0
        assert len(forgetful.app.state.reader.cache) == forgetful.app.state.reader.cache.bytes == 0


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"api_keys": {"read-secret-1": "read"}},
        {"api_keys": {"read-secret-1": "read"}, "public_read": True},
    ],
)
async def test_both_ways_answer_alike(serve, seed, given):
    """The short way and the way by the routes; each question twice, since the second may take the shortest."""
    seed.records("alpha", 5)
    paths = [*(f"/data?{query}" for query in (*QUERIES, *HOSTILE)), *PATHS]
    headers = [
        {},
        {"X-API-Key": "read-secret-1"},
        {"X-API-Key": "wrong-secret-1"},
        {"If-None-Match": "*"},
        {"X-API-Key": "read-secret-1", "If-None-Match": "*"},
    ]
    given = {**given, "auth_failures_per_minute": 100_000}
    async with serve(**given) as short, serve(**given) as long:
        long.app.user_middleware = [one for one in long.app.user_middleware if one.cls is not ShortWay]
        for path in paths:
            for sent in headers:
                answers = [await s.client.get(path, headers=sent) for s in (short, short, long)]
                assert told(answers[0]) == told(answers[1]) == told(answers[2]), (path, sent)


async def test_no_answer_is_older_than_the_last_commit_that_was_acknowledged(serve, seed, database_url):
    """Several instances with all they keep, writers at full speed: who was told of a commit is answered from it."""
    acknowledged = {"alpha": 0, "beta": 0}
    for source in acknowledged:
        seed.records(source, 1)
        acknowledged[source] = 1
    ends = asyncio.Event()

    async def write(source: str) -> None:
        connection = await psycopg.AsyncConnection.connect(database_url)
        async with connection:
            for number in range(2, 120):
                await connection.execute(
                    "INSERT INTO normalized_data (source, source_id, data, version) VALUES (%s, %s, %s, %s)",
                    (source, f"n{number}", json.dumps({"source": source, "source_id": f"n{number}"}), number),
                )
                await connection.execute(
                    "UPDATE etl_checkpoint SET record_count = record_count + 1, version = version + 1, changed_at = now()"
                    " WHERE source = %s",
                    (source,),
                )
                await connection.commit()
                acknowledged[source] = number
                await asyncio.sleep(0)

    async def read(client, source: str | None, tags: dict[str, int]) -> int:
        path = "/data?limit=1" if source is None else f"/data?limit=1&source={source}"
        asked = 0
        while not ends.is_set():
            least = sum(acknowledged.values()) if source is None else acknowledged[source]
            sent = {"If-None-Match": random.choice(list(tags))} if tags else {}
            answer = await client.get(path, headers=sent)
            total = tags[sent["If-None-Match"]] if answer.status_code == 304 else answer.json()["total_count"]
            assert total >= least
            if answer.status_code == 200:
                tags[answer.headers["etag"]] = total
            asked += 1
        return asked

    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(serve()) for _ in range(3)]
        reading = [
            asyncio.create_task(read(service.client, source, {}))
            for service in services
            for source in (None, "alpha", "beta")
            for _ in range(2)
        ]
        await asyncio.gather(*(write(source) for source in acknowledged))
        ends.set()
        asked = await asyncio.gather(*reading)

    assert min(asked) > 0


async def test_instances_share_what_they_have_made(serve, seed, database_url):
    seed.records("alpha", 3)
    with valkey() as server:
        async with serve(redis_url=server.url) as first, serve(redis_url=server.url) as second:
            made = await first.client.get("/data?source=alpha")
            await asyncio.gather(*first.app.state.reader.shared.storing)
            with nothing_is_read(database_url):
                shared = await asyncio.wait_for(second.client.get("/data?source=alpha"), PATIENCE)
            assert told(shared) == told(made)
            assert second.app.state.reader.shared.hits == 1

            seed.record("alpha", {"title": "new"})
            assert (await second.client.get("/data?source=alpha")).json()["total_count"] == 4


async def test_without_redis_or_with_rubbish_in_it_everything_is_answered(serve, seed):
    seed.records("alpha", 3)
    with valkey() as server:
        async with serve(redis_url=server.url) as service:
            shared = service.app.state.reader.shared
            await service.client.get("/data?source=alpha")
            await asyncio.gather(*shared.storing)
            server.stop()
            seed.record("alpha", {"title": "new"})
            answers = [await service.client.get(f"/data?source=alpha&limit={n}") for n in range(1, 4)]
            assert [a.json()["total_count"] for a in answers] == [4, 4, 4]
            assert shared.faults == 1

        server.start()
        async with serve(redis_url=server.url) as service:
            shared = service.app.state.reader.shared
            await service.client.get("/data?source=alpha")
            await asyncio.gather(*shared.storing)
            names = await shared.redis.keys("kasparro/answer/*")
            await shared.redis.mset(dict.fromkeys(names, b"rubbish"))
        async with serve(redis_url=server.url) as service:
            answer = await service.client.get("/data?source=alpha")
            assert answer.json()["total_count"] == 4
            assert service.app.state.reader.shared.faults == 1
    assert len(names) == 1


async def test_datasets_that_share_a_redis_have_nothing_in_common(serve, seed, database_url, postgres_server):
    """A copy of a database has the stamps of the other, and is another one all the same."""
    seed.records("alpha", 2)
    original = urlsplit(database_url).path[1:]
    copied = f"{original}_copy"
    with valkey() as server, psycopg.connect(postgres_server, autocommit=True) as admin:
        async with serve(redis_url=server.url) as service:
            await service.client.get("/data?source=alpha")
            await asyncio.gather(*service.app.state.reader.shared.storing)
        seed.connection.close()
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (original,),
        )
        admin.execute(f"CREATE DATABASE {copied} TEMPLATE {original}")
        try:
            async with serve(
                urlsplit(database_url)._replace(path=f"/{copied}").geturl(), redis_url=server.url
            ) as copy:
                assert (await copy.client.get("/data?source=alpha")).json()["total_count"] == 2
                assert copy.app.state.reader.shared.hits == 0
        finally:
            admin.execute(f"DROP DATABASE {copied} WITH (FORCE)")


async def test_a_source_is_stale_when_its_last_good_run_is_older_than_it_promises(serve, seed, catalog):
    catalog.write_text(catalog.read_text().replace("path: alpha.csv", "path: alpha.csv\n    freshness: 6h"))
    seed.records("alpha", 1)
    seed.records("beta", 1)

    async def asked(client, path: str) -> tuple[str | None, object]:
        answer = await client.get(path)
        return answer.headers.get("x-stale"), answer.json().get("stale")

    async with serve() as service:
        never = await asked(service.client, "/data?source=alpha")
        seed.connection.execute(
            "INSERT INTO etl_totals (source, last_success) VALUES ('alpha', now() - interval '5 hours')"
        )
        fresh = await asked(service.client, "/data?source=alpha")
        record = await asked(service.client, "/data/1")
        seed.connection.execute("UPDATE etl_totals SET last_success = now() - interval '7 hours'")
        stale = await asked(service.client, "/data?source=alpha")
        sources = {s["name"]: s for s in (await service.client.get("/sources")).json()["sources"]}

        assert (never, fresh, stale) == (("true", True), ("false", False), ("true", True))
        assert record == ("false", None)
        assert (
            await asked(service.client, "/data?source=beta")
            == await asked(service.client, "/data")
            == (None, None)
        )
        assert (sources["alpha"]["freshness_seconds"], sources["alpha"]["stale"]) == (21_600, True)
        assert (sources["beta"]["freshness_seconds"], sources["beta"]["stale"]) == (None, None)


async def test_a_request_that_is_known_is_counted_and_refused_like_any_other(serve, seed):
    seed.records("alpha", 1)
    key = {"X-API-Key": "read-secret-1"}
    async with serve(
        api_keys={"read-secret-1": "read"}, rate_limit_per_minute=3, auth_failures_per_minute=2
    ) as service:
        answers = [await service.client.get("/data", headers=key) for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        assert [a.headers["ratelimit"].partition(";t")[0] for a in answers] == [
            f'"key";r={n}' for n in (2, 1, 0, 0, 0)
        ]
        assert answers[4].json()["code"] == "rate_limited"


async def test_no_request_is_known_from_an_address_that_sent_too_many_wrong_keys(serve, seed):
    seed.records("alpha", 1)
    key = {"X-API-Key": "read-secret-1"}
    async with serve(api_keys={"read-secret-1": "read"}, auth_failures_per_minute=2) as service:
        known = [(await service.client.get("/data", headers=key)).status_code for _ in range(2)]
        for _ in range(2):
            await service.client.get("/data", headers={"X-API-Key": "wrong-secret-1"})
        blocked = await service.client.get("/data", headers=key)

    assert known == [200, 200]
    assert blocked.status_code == 429
    assert blocked.json()["detail"] == "too many wrong keys were sent from this address"


async def test_a_key_that_was_revoked_is_known_no_longer(serve, seed):
    """Only callers of the settings are remembered; keys of the database are looked at each time."""
    seed.records("alpha", 1)
    async with serve(require_keys=True) as service:
        keys = ApiKeys(service.runtime.database)
        key = await keys.create(KeyOrder("reader", Scope.READ))
        sent = {"X-API-Key": key}
        assert [(await service.client.get("/data", headers=sent)).status_code for _ in range(2)] == [200, 200]
        await keys.revoke(prefix_of(key))

        async with asyncio.timeout(PATIENCE):
            while (await service.client.get("/data", headers=sent)).status_code == 200:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.1)
        assert (await service.client.get("/data", headers=sent)).status_code == 401


async def test_metrics_tell_of_what_is_kept(client, seed):
    seed.records("alpha", 1)
    for _ in range(3):
        await client.get("/data?source=alpha")
    text = (await client.get("/metrics")).text

    assert 'kasparro_cache_lookups_total{result="hit"} 2.0' in text
    assert 'kasparro_cache_lookups_total{result="miss"} 1.0' in text
    assert "kasparro_cache_answers 1.0" in text
    assert "kasparro_version_checks_total 3.0" in text
