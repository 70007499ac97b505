"""What the fields of the sampled records are for: key, map, time of change. Records in, lines of the draft out. No I/O."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from kasparro.ingestion.mapping import FALLBACKS
from kasparro.ingestion.times import time_reader
from kasparro.schemas.data import MAX_ID
from kasparro.services.drafting.draft import Line

Rows = Sequence[dict[str, Any]]

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_NAMES: Final = (
    "id",
    "_id",
    "uuid",
    "guid",
    "key",
    "ident",
    "identifier",
    "slug",
    "code",
    "sku",
    "isbn",
    "doi",
)
_KEY_ENDINGS: Final = ("_id", "id", "_uuid", "_key", "_code", "_no", "_number")
_CANDIDATES: Final = {
    "title": ("fullname", "displayname", "label", "headline", "subject", "heading", "productname", "titlerendered"),
    "description": ("overview", "abstract", "excerpt", "shortdescription", "tagline", "excerptrendered"),
    "content": ("text", "message", "html", "bodyhtml", "fulltext", "contentrendered", "comment"),
    "author": (
        "authorname", "authorlogin", "authorusername", "userlogin", "username", "username", "ownerlogin", "ownername",
        "creatorname", "creatorlogin", "by", "createdby", "user", "owner", "artist", "publisher", "vendor",
    ),
    "published_at": (
        "publishedon", "publishedat", "publicationdate", "pubdate", "datepublished", "createdat", "created", "createdon",
        "creationdate", "datecreated", "createddate", "date", "timestamp", "time", "postedat", "firstseen",
    ),
    "url": ("htmlurl", "weburl", "permalink", "href", "uri", "website", "homepage", "linkshtml", "linksself", "homelink"),
    "category": ("kind", "group", "section", "genre", "topic", "class", "categoryname", "categoryslug"),
}  # fmt: skip
_CHANGED: Final = (
    "updatedat", "updated", "updatedon", "modified", "modifiedat", "lastmodified", "lastupdated", "lastupdatedat",
    "datemodified", "modifieddate", "systemmodstamp", "changedat", "changed", "lastmodifieddate",
)  # fmt: skip
_TIME_FORMS: Final = (
    None, "epoch_s", "epoch_ms", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d",
    "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S %z", "%d %b %Y", "%B %d, %Y",
)  # fmt: skip
_MILLISECONDS: Final = 100_000_000_000
_SECONDS: Final = 100_000_000
_DEEPEST: Final = 3
_MOST_PATHS: Final = 300


def values_by_path(records: Rows) -> dict[str, list[Any]]:
    """The scalar values under each field path that can be written as one; absent ones are null."""
    paths: dict[str, None] = {}
    for record in records:
        for path in itertools.islice(_paths(record, "", 1), _MOST_PATHS):
            paths.setdefault(path)
    return {path: [_at(record, path) for record in records] for path in itertools.islice(paths, _MOST_PATHS)}


def _paths(record: dict[str, Any], before: str, level: int) -> Iterator[str]:
    for name, value in record.items():
        if not _WORD.fullmatch(name):
            continue
        if isinstance(value, dict) and level < _DEEPEST:
            yield from _paths(value, f"{before}{name}.", level + 1)
        elif not isinstance(value, dict | list):
            yield f"{before}{name}"


def _at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return None if isinstance(record, dict | list) else record


def key_of(values: dict[str, list[Any]], records: int) -> Line | None:
    """The field that tells the records apart, those with the name of an identity first; two together where none does."""
    usable = {path: found for path, found in values.items() if all(map(_is_key, found))}
    unique = [path for path, found in usable.items() if len(set(map(str, found))) == records]
    if unique:
        best = min(unique, key=_key_rank)
        seen = (
            f"different and never empty in all {records} records"
            if records > 1
            else "looked at one record only"
        )
        also = [
            path for path in sorted(unique, key=_key_rank) if path != best and _key_rank(path)[0] < _NO_NAME
        ][:3]
        return Line("key", best, "; so are ".join([seen, ", ".join(also)] if also else [seen]))
    for pair in itertools.combinations(sorted(usable, key=_key_rank)[:12], 2):
        together = set(zip(*(map(str, usable[path]) for path in pair), strict=True))
        if len(together) == records:
            return Line("key", list(pair), f"only together different in all {records} records")
    return None


_NO_NAME: Final = 3


def _key_rank(path: str) -> tuple[int, int, int]:
    """Identities by name first, then by ending, then whatever is unique; shallow before deep."""
    name = path.rpartition(".")[2].lower()
    if name in _KEY_NAMES:
        return (0, path.count("."), _KEY_NAMES.index(name))
    if name.endswith(_KEY_ENDINGS):
        return (1 if name.endswith(("_id", "_uuid")) else 2, path.count("."), 0)
    return (_NO_NAME, path.count("."), 0)


def _is_key(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    return isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= MAX_ID // 2)


def map_of(values: dict[str, list[Any]]) -> list[Line]:
    """A line for each field of the dataset that something fills; those that fill by themselves are comments."""
    taken: set[str] = set()
    lines = []
    for field, usual in FALLBACKS.items():
        special = _for_people(values) if field == "url" else None
        if line := special or _by_itself(field, usual, values) or _candidate(field, values, taken):
            lines.append(line)
            taken.add(str(line.value))
    return lines


def _for_people(values: dict[str, list[Any]]) -> Line | None:
    """Where both an address for programs and one for people are there, the latter is meant."""
    path = next((one for one in ("html_url", "web_url", "permalink") if any(values.get(one, ()))), None)
    if path is None or "url" not in values:
        return None
    return Line("url", path, "the page for people; `url` is there as well")


def _by_itself(field: str, usual: Sequence[str], values: dict[str, list[Any]]) -> Line | None:
    for name in usual:
        found = [value for value in values.get(name, ()) if value not in {None, ""}]
        if found and (field != "published_at" or _reads(None, found)):
            return Line(field, name, "by itself", off=True)
    return None


def _candidate(field: str, values: dict[str, list[Any]], taken: set[str]) -> Line | None:
    usual = [name.replace("_", "") for name in FALLBACKS[field]]
    wanted = [*usual, *_CANDIDATES[field]]
    named = {path: _plain(path) for path in values if path not in taken and path != "username"}
    ranked = sorted(
        (path for path, plain in named.items() if plain in wanted), key=lambda p: wanted.index(named[p])
    )
    for path in ranked:
        found = [value for value in values[path] if value not in {None, ""}]
        if not found or not all(isinstance(value, str | int | float) for value in found):
            continue
        if field != "published_at":
            return Line(field, path, _share(path, found, values))
        forms = [form for form in _TIME_FORMS if _reads(form, found)]
        if len(forms) == 1 or (forms and forms[0] in {None, "epoch_s", "epoch_ms"}):
            value = path if forms[0] is None else {"path": path, "as": forms[0]}
            return Line(field, value, _share(path, found, values))
        if forms:
            why = f"either of {' and '.join(map(str, forms))} fits all {len(found)} values: say which"
            return Line(field, {"path": path, "as": forms[0]}, why, off=True)
    return None


def _plain(path: str) -> str:
    return re.sub(r"[._-]", "", path).lower()


def _share(path: str, found: Sequence[Any], values: dict[str, list[Any]]) -> str:
    example = json.dumps(found[0], ensure_ascii=False, default=str)
    short = example if len(example) <= 40 else f"{example[:36]}..."  # noqa: PLR2004  # what fits beside it
    return f"in {len(found)} of {len(values[path])}, such as {short}"


def _reads(form: str | None, found: Sequence[Any]) -> bool:
    """Whether all of *found* are times in this form; numbers that could be anything are not."""
    if form in {"epoch_s", "epoch_ms"}:
        low = _SECONDS if form == "epoch_s" else _MILLISECONDS
        numbers = [int(value) for value in found if str(value).isdigit()]
        return len(numbers) == len(found) and all(low <= number < low * 1_000 for number in numbers)
    read: Callable[[Any], Any] = time_reader(form)
    try:
        for value in found:
            read(value)
    except ValueError:
        return False
    return True


def changed_of(values: dict[str, list[Any]]) -> Line | None:
    """The field that may say when a record was changed: a suggestion."""
    ranked = sorted(
        (path for path in values if _plain(path) in _CHANGED), key=lambda p: _CHANGED.index(_plain(p))
    )
    for path in ranked:
        found = [value for value in values[path] if value not in {None, ""}]
        if found and any(_reads(form, found) for form in (None, "epoch_s", "epoch_ms")):
            why = "looks like the time of change; if the API can be asked for what changed since, name its parameter"
            return Line("incremental", {"field": path, "param": "since"}, why, off=True)
    return None
