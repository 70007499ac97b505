"""Pages handed out by servers that lie about them: the tables are those of the oracle, and a circle costs two requests at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from integration.hostile.house import House, keys, source, things
from integration.hostile.upstream import Answer, Asked, Script, said, serve
from kasparro.schemas.ingest import RunStatus

pytestmark = pytest.mark.anyio

ALL = 10
SIZE = 3
PAGES = 4
"""Ten records by three: the last page has one."""

BY_PAGE = "pagination: {type: page, size_param: size, size: 3}"
BY_OFFSET = "pagination: {type: offset, limit: 3}"
BY_TOKEN = "pagination: {type: cursor, param: after, next: next}"
BY_LINK = "pagination: link_header"
BY_URL = "pagination: {type: next_url, path: next}"


def page_of(number: int, total: int = ALL, size: int = SIZE) -> list[dict[str, Any]]:
    first = (number - 1) * size
    return things(*range(first, min(first + size, total)))


@dataclass(frozen=True, slots=True)
class Trap:
    """A way of paging, a server that misbehaves in it, and what must come of it: the records, and requests at most."""

    name: str
    pagination: str
    script: Script
    requests: int
    ids: list[str]
    error: str | None = None


def numbered(answer: Callable[[int], Answer]) -> Script:
    return lambda asked: answer(asked.number("page", 1))


def items(number: int, count: int = ALL, **more: Any) -> Answer:
    return said({"items": page_of(number, count), **more})


EVERYTHING = keys(*range(ALL))


def chained(total: int, after_last: Callable[[int], Any]) -> Script:
    """Tokens of numbers, and what the page behind the last one names as the next."""

    def script(asked: Asked) -> Answer:
        number = asked.number("after", 1)
        last = -(-total // SIZE)
        return said(
            {
                "items": page_of(min(number, last), total),
                "next": number + 1 if number < last else after_last(number),
            }
        )

    return script


def turned(number: int) -> Answer:
    """Nine records by tokens; from the fourth page on the third again, turned by one place each time, thirty times."""
    rows = [row | {"served": number} for row in page_of(min(number, 3), 9)]
    first = max(0, number - 3) % SIZE
    return said({"items": rows[first:] + rows[:first], "next": str(number + 1) if number < 33 else None})


def linked(header: Callable[[int], str]) -> Script:
    """Pages at ?at=, with the given `Link` header on each but the last."""

    def script(asked: Asked) -> Answer:
        number = asked.number("at", 1)
        if number >= PAGES:
            return said({"items": page_of(number)}, Link='<?at=1>; rel="first"')
        return said({"items": page_of(number)}, Link=header(number + 1))

    return script


def addressed(link: Callable[[int], Any]) -> Script:
    def script(asked: Asked) -> Answer:
        number = asked.number("at", 1)
        return said({"items": page_of(number), "next": link(number + 1) if number < PAGES else None})

    return script


def beyond(status: int) -> Script:
    return numbered(lambda n: items(n, 9) if n <= 3 else said({"message": "no such page"}, status))


def no_content(n: int) -> Answer:
    return items(n, 9) if n <= 3 else Answer(b"", 204, kind="")


NINE = keys(*range(9))
LOOP = "pagination_loop"

TRAPS = [
    Trap("size is ignored, pages are larger", BY_PAGE, numbered(lambda n: said({"items": page_of(n, size=5)})), 4, EVERYTHING),
    Trap("size is ignored, pages are smaller", BY_PAGE, numbered(lambda n: said({"items": page_of(n, size=2)})), 7, EVERYTHING),
    Trap("everything on every page", BY_PAGE, numbered(lambda n: said({"items": things(*range(ALL))})), 3, EVERYTHING, LOOP),
    Trap("offset is ignored", BY_OFFSET, lambda _: said({"items": page_of(1)}), 3, keys(0, 1, 2), LOOP),
    Trap("full last page for ever", BY_PAGE, numbered(lambda n: items(min(n, 3), 9)), 5, NINE, LOOP),
    Trap(
        "full last page for ever, with a field that changes",
        BY_PAGE,
        numbered(lambda n: said({"items": [r | {"served": n} for r in page_of(min(n, 3), 9)]})),
        5, NINE, LOOP,
    ),
    Trap("short last page for ever", BY_PAGE, numbered(lambda n: items(min(n, PAGES))), 5, EVERYTHING),
    Trap("404 beyond the end", BY_PAGE, beyond(404), 5, NINE),
    Trap("400 beyond the end is an error", BY_PAGE, beyond(400), 5, NINE, "source_refused"),
    Trap("204 beyond the end", BY_PAGE, numbered(no_content), 5, NINE),
    Trap("total too low, not declared", BY_PAGE, numbered(lambda n: items(n, 9, total=4)), 5, NINE),
    Trap("total too high, not declared", BY_PAGE, numbered(lambda n: items(n, 9, total=400)), 6, NINE),
    Trap("total too high, declared", BY_PAGE[:-1] + ", total: total}", numbered(lambda n: items(n, 9, total=400)), 7, NINE),
    Trap("total is negative", BY_PAGE, numbered(lambda n: items(n, 9, total=-1)), 5, NINE),
    Trap("total is text", BY_PAGE, numbered(lambda n: items(n, 9, total="about 9")), 5, NINE),
    Trap(
        "has_more for ever, empty pages",
        BY_PAGE[:-1] + ", has_more: more}", numbered(lambda n: items(n, 9, more=True)), 5, NINE, LOOP,
    ),
    Trap(
        "has_more, and one empty page in the middle",
        BY_PAGE[:-1] + ", has_more: more}",
        numbered(lambda n: said({"items": [] if n == 2 else page_of(n if n < 2 else n - 1), "more": n < 5})),
        6, EVERYTHING,
    ),
    Trap("tokens A B A", BY_TOKEN, chained(9, lambda n: 2), 5, NINE, LOOP),
    Trap("the same token again", BY_TOKEN, chained(9, lambda n: n), 5, NINE, LOOP),
    Trap("a new token for ever, the last page again", BY_TOKEN, chained(9, lambda n: n + 1), 5, NINE, LOOP),
    Trap(
        "a new token for ever, the last page again in another order, with a field that changes",
        BY_TOKEN, lambda asked: turned(asked.number("after", 1)), 5, NINE, LOOP,
    ),
    Trap("the token of the end is text", BY_TOKEN, chained(9, lambda n: ""), 3, NINE),
    Trap("the token of the end is false", BY_TOKEN, chained(9, lambda n: False), 3, NINE),
    Trap("the token is an object", BY_TOKEN, chained(9, lambda n: {"a": 1}), 3, keys(0, 1, 2, 3, 4, 5), "unexpected_content"),
    Trap("Link, plain", BY_LINK, linked(lambda n: f'<?at={n}>; rel="next"'), PAGES, EVERYTHING),
    Trap("Link, odd spelling", BY_LINK, linked(lambda n: f'<?at=9>;rel=prev , <?at={n}> ;title="a, b; rel=\\"x\\"" ; REL="last NEXT"'), PAGES, EVERYTHING),
    Trap("Link, comma in the address", BY_LINK, linked(lambda n: f"<?at={n}&f=a,b>; rel=next"), PAGES, EVERYTHING),
    Trap("Link with a fragment", BY_LINK, linked(lambda n: f"<?at={n}#top>; rel=next"), PAGES, EVERYTHING),
    Trap("Link to the same page but for the fragment", BY_LINK, lambda a: said({"items": page_of(1)}, Link=f"<?at=1#{id(a)}>; rel=next"), 3, keys(0, 1, 2), LOOP),
    Trap("next, an absolute path", BY_URL, addressed(lambda n: f"/things?at={n}"), PAGES, EVERYTHING),
    Trap("next, a query", BY_URL, addressed(lambda n: f"?at={n}"), PAGES, EVERYTHING),
    Trap("next, with blanks around", BY_URL, addressed(lambda n: f"  /things?at={n}\n"), PAGES, EVERYTHING),
    Trap("next, to a foreign host", BY_URL, addressed(lambda n: f"http://evil.example/things?at={n}"), 1, [], "foreign_origin"),
    Trap("next, without a scheme", BY_URL, addressed(lambda n: f"//evil.example/things?at={n}"), 1, [], "foreign_origin"),
    Trap("next, a script", BY_URL, addressed(lambda n: "javascript:alert(1)"), 1, [], "unexpected_content"),
    Trap("next, a file", BY_URL, addressed(lambda n: "file:///etc/passwd"), 1, [], "unexpected_content"),
    Trap("next, with backslashes", BY_URL, addressed(lambda n: "http:\\\\evil.example\\things"), 3, keys(0, 1, 2), LOOP),
    Trap("next, with a user name", BY_URL, addressed(lambda n: f"//127.0.0.1@evil.example/things?at={n}"), 1, [], "foreign_origin"),
]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
async def test_pages_of_a_liar(house: House, trap: Trap):
    async with serve(trap.script) as upstream:
        report = await house.ingest(source(f"{upstream.url}/things", trap.pagination))

    assert (report.error_code, await house.ids()) == (trap.error, trap.ids), report.error
    assert len(upstream.asked) <= trap.requests, upstream.targets
    assert (report.status is RunStatus.SUCCESS) == (trap.error is None)
