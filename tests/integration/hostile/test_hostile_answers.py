"""Answers that fail, break off, lie about themselves or explode: what comes of them, in how many requests."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from email.utils import format_datetime

import pytest

from integration.hostile.house import House, keys, source, things
from integration.hostile.upstream import Answer, Asked, Raw, Script, said, serve
from kasparro.core import clock
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

GOOD = said({"items": things(1, 2, 3)})
IDS = keys(1, 2, 3)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GZIPPED = GOOD.but(body=gzip.compress(GOOD.body), headers=(("Content-Encoding", "gzip"),))
DEEP = b'{"items": [{"id": 1}, {"id": 2, "deep": ' + b"[" * 10_000 + b"]" * 10_000 + b"}]}"
BOMB = gzip.compress(b'{"items": [{"id": 1, "x": "' + b"0" * 8_000_000 + b'"}]}')


@dataclass(frozen=True, slots=True)
class Case:
    """Answers in turn, the last one for all that follow; what is in the table then, after how many requests, and the error."""

    name: str
    answers: tuple[Answer | Raw, ...]
    requests: int = 2
    ids: tuple[str, ...] = tuple(IDS)
    error: str | None = None
    keys: str = ""
    status: RunStatus = RunStatus.SUCCESS


def failing(name: str, answer: Answer | Raw, error: str, requests: int = 1, declared: str = "") -> Case:
    return Case(name, (answer,), requests, (), error, declared, RunStatus.FAILED)


def recovering(name: str, *answers: Answer | Raw) -> Case:
    return Case(name, (*answers, GOOD), len(answers) + 1)


def fine(name: str, answer: Answer, declared: str = "", ids: tuple[str, ...] = tuple(IDS)) -> Case:
    return Case(name, (answer,), 1, ids, keys=declared)


def status(code: int, *headers: tuple[str, str]) -> Answer:
    return Answer(b'{"error": "later"}', code, headers)


def body(text: str | bytes, kind: str = "application/json", *headers: tuple[str, str]) -> Answer:
    return Answer(text if isinstance(text, bytes) else text.encode(), headers=headers, kind=kind)


UNAVAILABLE, UNEXPECTED = "source_unavailable", "unexpected_content"
CASES = [
    *(recovering(f"{code}", status(code)) for code in (408, 425, 429, 500, 502, 503, 504, 520, 599)),
    *(failing(f"{code} for ever", status(code), UNAVAILABLE, 3) for code in (429, 500)),
    *(failing(f"{code}", status(code), "source_refused") for code in (400, 402, 404, 405, 407, 410, 418, 451, 501, 505)),
    *(failing(f"{code}", status(code), "auth_failed") for code in (401, 403)),
    *(failing(f"{code} that nobody asked for", Answer(b"", code, kind=""), UNEXPECTED) for code in (304, 300, 305)),
    recovering("500 twice", status(500), status(500)),
    recovering("206, some bytes of it", GOOD.but(status=206, headers=(("Content-Range", "bytes 0-9/100"),))),
    fine("206, a page", GOOD.but(status=206, headers=(("Content-Range", "items 0-2/3"),))),
    *(
        recovering(f"Retry-After {given!r}", status(429, ("Retry-After", given)))
        for given in ("0", "-5", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT", "0.001")
    ),
    recovering("reset before an answer", Raw(reset=True)),
    recovering("closed before an answer", Raw()),
    recovering("reset in the headers", Raw(HEAD, reset=True)),
    recovering("closed in the headers", Raw(HEAD)),
    recovering("reset in the body", GOOD.but(cut=20, reset=True)),
    recovering("cut, by its length", GOOD.but(cut=20)),
    recovering("cut, in chunks", GOOD.but(cut=20, framing="chunked")),
    recovering("cut, until it closes", GOOD.but(cut=20, framing="close")),
    recovering("cut before anything, by its length", GOOD.but(cut=0)),
    recovering("gzip cut, by its length", GZIPPED.but(cut=20)),
    recovering("gzip cut, until it closes", GZIPPED.but(cut=20, framing="close")),
    recovering("gzip without its end", GZIPPED.but(body=GZIPPED.body[:-4])),
    failing("a byte now and then", GOOD.but(drip=0.02), UNAVAILABLE, 3, "timeout: 100ms"),
    failing("a byte now and then, of an error", status(400).but(drip=0.03), "source_refused", 1, "timeout: 100ms"),
    failing("HTML", body("<!DOCTYPE html><html>Please log in</html>", "text/html"), UNEXPECTED),
    failing("HTML that is said to be JSON", body("<html>"), UNEXPECTED),
    failing("an error with 200", body('{"error": {"message": "no"}}'), UNEXPECTED),
    failing("an error beside an empty list", body('{"items": [], "error": "no"}'), UNEXPECTED),
    failing("nothing at all", body(""), UNEXPECTED),
    failing("blanks", body(" \n "), UNEXPECTED),
    failing("JSONP", body('cb({"items": []});', "text/javascript"), UNEXPECTED),
    failing("a number", body("17"), UNEXPECTED),
    failing("a text", body('"items"'), UNEXPECTED),
    failing("null", body("null"), UNEXPECTED),
    failing("items are an object", body('{"items": {"id": 1}}'), UNEXPECTED),
    failing("two answers in one", body('{"items": [{"id": 1}]}{"items": []}'), UNEXPECTED),
    failing("an encoding nobody asked for", body("x", "application/json", ("Content-Encoding", "compress")), UNEXPECTED),
    failing("gzip that is none", body(GOOD.body, "application/json", ("Content-Encoding", "gzip")), UNEXPECTED),
    failing("gzip twice", body(gzip.compress(GZIPPED.body), "application/json", ("Content-Encoding", "gzip, gzip")), UNEXPECTED),
    failing("a bomb", body(BOMB, "application/json", ("Content-Encoding", "gzip")), "response_too_large"),
    failing("a flood of headers", Raw(HEAD + b"X-Flood: 0123456789\r\n" * 40_000 + b"\r\n"), UNEXPECTED),
    failing("one endless header", Raw(HEAD + b"X-Long: " + b"a" * 1_000_000 + b"\r\n\r\n"), UNEXPECTED),
    failing("not HTTP", Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), UNEXPECTED),
    failing("two lengths", Raw(HEAD + b"Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}"), UNEXPECTED),
    failing("a negative length", Raw(HEAD + b"Content-Length: -2\r\n\r\n{}"), UNEXPECTED),
    failing("chunks of no size", Raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), UNEXPECTED),
    failing("a redirect to itself", status(302, ("Location", "/things")), "source_refused", 6),
    failing("a redirect to nowhere", status(302), UNEXPECTED),
    failing("a redirect away", status(302, ("Location", "http://169.254.169.254/latest/meta-data")), "foreign_origin"),
    fine("gzip", GZIPPED),
    fine("x-gzip", GZIPPED.but(headers=(("Content-Encoding", "x-GZip"),))),
    fine("deflate with its wrapper", body(zlib.compress(GOOD.body), "application/json", ("Content-Encoding", "deflate"))),
    fine("deflate without", body(zlib.compress(GOOD.body)[2:-4], "application/json", ("Content-Encoding", "deflate"))),
    fine("identity", body(GOOD.body, "application/json", ("Content-Encoding", "identity"))),
    fine("no content type", GOOD.but(kind="")),
    fine("a content type that is nonsense", GOOD.but(kind=";;;=")),
    fine("a charset that is nonsense", GOOD.but(kind="application/json; charset=x-klingon")),
    fine("a charset that is wrong", body('{"items": [{"id": 1, "n": "é"}, {"id": 2}, {"id": 3}]}', "application/json; charset=latin-1")),
    fine("a byte order mark", GOOD.but(body=b"\xef\xbb\xbf" + GOOD.body)),
    fine("UTF-16", GOOD.but(body=GOOD.body.decode().encode("utf-16"))),
    fine("UTF-16 without a mark", GOOD.but(body=GOOD.body.decode().encode("utf-16-le"), kind="application/json; charset=utf-16le")),
    fine("UTF-32", GOOD.but(body=GOOD.body.decode().encode("utf-32"))),
    fine("a guard against scripts", GOOD.but(body=b")]}',\n" + GOOD.body)),
    fine("an error that is null", body('{"error": null, "errors": [], "items": [{"id": 1}, {"id": 2}, {"id": 3}]}')),
    fine("no content", Answer(b"", 204, kind=""), ids=()),
    fine("a list that is null", body('{"items": null}'), "records: items", ()),
    fine("no records", body('{"items": []}'), ids=()),
]  # fmt: skip


def in_turn(answers: tuple[Answer | Raw, ...]) -> Script:
    turns = iter(range(1_000_000))
    return lambda _asked: answers[min(next(turns), len(answers) - 1)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_answer(house: House, case: Case):
    async with serve(in_turn(case.answers)) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things", case.keys))

    assert (report.error_code, report.status) == (case.error, case.status), report.error
    assert await house.ids() == list(case.ids)
    assert len(upstream.asked) == case.requests
    assert len(report.error or "") < 1_500


RECORDS = {
    "NaN": (b'{"id": 2, "x": NaN}', "invalid_json"),
    "minus infinity": (b'{"id": 2, "x": -Infinity}', "invalid_json"),
    "a huge exponent": (b'{"id": 2, "x": 1e999999999}', "number_out_of_range"),
    "NUL": (b'{"id": 2, "x": "a\\u0000b"}', "invalid_text"),
    "NUL in a name": (b'{"id": 2, "a\\u0000b": 1}', "invalid_text"),
    "NUL in the key": (b'{"id": "2\\u0000"}', "invalid_text"),
    "half a surrogate": (b'{"id": 2, "x": "\\ud800"}', "invalid_text"),
    "half a surrogate in the key": (b'{"id": "\\udfff"}', "invalid_text"),
    "too deep": (b'{"id": 2, "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too_deep"),
    "a bit too deep": (b'{"id": 2, "x": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
    "a raw control character": (b'{"id": 2, "x": "\n"}', "invalid_json"),
    "a comma too much": (b'{"id": 2, "x": 1,}', "invalid_json"),
    "a number with a zero before": (b'{"id": 2, "x": 01}', "invalid_json"),
    "no object": (b'["id", 2]', "not_an_object"),
    "no key": (b'{"ID": 2}', "no_identity"),
    "a key of null": (b'{"id": null}', "no_identity"),
    "a key of true": (b'{"id": true}', "no_identity"),
    "an empty key": (b'{"id": ""}', "no_identity"),
    "a key that is a list": (b'{"id": [2]}', "no_identity"),
    "a long key": (b'{"id": "' + b"k" * 300 + b'"}', "identity_too_long"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
async def test_one_bad_record_is_one_reject_and_its_neighbours_are_loaded(house: House, name: str):
    text, reason = RECORDS[name]
    answer = GOOD.but(body=b'{"items": [{"id": 1}, ' + text + b', {"id": 3}]}')
    async with serve(lambda _: answer) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things"))

    assert (report.status, report.error) == (RunStatus.PARTIAL, None)
    assert (sorted(await house.dataset()), await house.rejects()) == (keys(1, 3), {reason: 1})


KEPT = {
    "repeated names": '{"id": 2, "x": 1, "x": 2}',
    "names that differ in their case": '{"id": 2, "ID": 3, "Id": 4}',
    "a big integer": '{"id": 2, "x": 123456789012345678901234567890}',
    "a long decimal": '{"id": 2, "x": 0.1000000000000000055511151231257827}',
    "minus zero": '{"id": 2, "x": -0, "y": -0.0, "z": 0E-7}',
    "blanks": '{ "id" :2 ,  "x":\t[ ] }',
    "an emoji as two halves": '{"id": 2, "x": "\\ud83d\\ude00"}',
    "text that looks like NUL": '{"id": 2, "x": "\\\\u0000"}',
    "a name of nothing": '{"id": 2, "": 1}',
    "names that Python knows": '{"id": 2, "__class__": 1, "constructor": {"prototype": 2}}',
}


@pytest.mark.parametrize("name", KEPT)
async def test_a_record_is_stored_as_it_was_received(house: House, name: str):
    answer = GOOD.but(body=f'{{"items": [{KEPT[name]}]}}'.encode())
    async with serve(lambda _: answer) as upstream:
        first = await house.ingest(source(f"{upstream.url}/things"))
        second = await house.ingest(source(f"{upstream.url}/things"))

    assert await house.raw() == {"2": KEPT[name]}
    assert (first.counters.inserted, second.counters.unchanged) == (1, 1)


CSV = 'id,name,n\n1,thing 1,1.50\n2,"a, b",\n'
NDJSON = '{"id":"1","name":"thing 1","n":"1.50"}\n{"id":"2","name":"a, b","n":null}\n'
XML = "<r><items><id>1</id><name>thing 1</name><n>1.50</n></items><items><id>2</id><name>a, b</name><n/></items></r>"
JSON = json.dumps({"items": [json.loads(line) for line in NDJSON.splitlines()]})


async def test_the_same_records_in_other_formats_are_the_same_dataset(house: House):
    answers = {
        "json": body(JSON),
        "ndjson": body(NDJSON, "application/x-ndjson"),
        "csv": body(CSV, "text/csv"),
        "xml": body(XML, "application/xml"),
    }
    shown = {}
    mapped = "map: {title: name, category: n}"
    async with serve(lambda asked: answers[asked.path.strip("/")]) as upstream:
        for name in answers:
            where = "records: items\n" if name in {"json", "xml"} else ""
            await house.ingest(source(f"{upstream.url}/{name}", where + mapped, name=name), name)
            shown[name] = [
                record | {"source": None} for _, record in sorted((await house.dataset(name)).items())
            ]

    assert shown["json"] == shown["ndjson"] == shown["csv"] == shown["xml"]
    assert [record["title"] for record in shown["json"]] == ["thing 1", "a, b"]


@pytest.mark.parametrize("form", ["seconds", "fraction", "date", "too much"])
async def test_nothing_is_asked_before_retry_after_allows(house: House, form: str):
    given = {
        "seconds": "1",
        "fraction": "0.4",
        "date": format_datetime(clock.now().replace(microsecond=0), usegmt=True),
        "too much": "9" * 40,
    }[form]
    least = {"seconds": 1.0, "fraction": 0.4, "date": 0.0, "too much": 60.0}[form]
    refused: list[float] = []

    def script(asked: Asked) -> Answer:
        if asked.number("page", 1) == 2 and not refused:
            refused.append(asked.at)
            return status(429, ("Retry-After", given))
        number = asked.number("page", 1)
        return said({"items": things(*range(number * 2, min(number * 2 + 2, 9)))})

    keys_ = "pagination: {type: page, size_param: size, size: 2}"
    async with serve(script) as upstream:
        await house.ingest(source(f"{upstream.url}/things", keys_))

    told = refused[0]
    under_way = 1  # what was sent before the refusal had come may be asked after it
    early = [asked.at - told for asked in upstream.asked if 0 < asked.at - told < least]
    assert len(early) <= under_way, early
