"""What the first records of a source say about its declaration: are they identified, do they fit, which fields fill?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kasparro.core.etl_config import CsvSource, SourceDeclaration
from kasparro.ingestion.ignoring import leading_nowhere
from kasparro.ingestion.mapping import FALLBACKS
from kasparro.schemas.data import MAPPED_FIELDS
from kasparro.schemas.ingest import Reject, RejectReason
from kasparro.services.check_steps import Outcome, Step
from kasparro.services.preview import Preview

IDENTITY: Final = "identity"
MAPPING: Final = "mapping"
CHANGES: Final = "changes"
_WITHOUT_IDENTITY: Final = frozenset({RejectReason.NO_IDENTITY, RejectReason.IDENTITY_TOO_LONG})
_EXAMPLES: Final = 3


def sample_steps(declaration: SourceDeclaration, previews: Sequence[Preview]) -> Iterator[Step]:
    if not previews:
        yield Step(IDENTITY, Outcome.SKIPPED, "there is no record to look at")
        yield Step(MAPPING, Outcome.SKIPPED, "there is no record to look at")
        return
    nameless = [one.reject for one in previews if one.reject and one.reject.reason in _WITHOUT_IDENTITY]
    other = [one.reject for one in previews if one.reject and one.reject.reason not in _WITHOUT_IDENTITY]
    records = [json.loads(one.record) for one in previews if one.record is not None]
    yield _identity(declaration, nameless, records, len(previews))
    yield _mapping(declaration, other, records, len(previews))
    if declaration.ignore_changes:
        yield _changes(declaration, previews)


def _identity(
    declaration: SourceDeclaration, rejects: Sequence[Reject], records: Sequence[dict[str, Any]], total: int
) -> Step:
    key = ", ".join(declaration.identity() or ()) or _default_key(declaration)
    if rejects:
        outcome = Outcome.FAIL if len(rejects) == total else Outcome.WARN
        hint = "Declare a `key` that every record has: `kasparro sources preview` shows the fields"
        return Step(IDENTITY, outcome, f"key {key}: {_reasons(rejects, total)}", hint)
    ids = [record["source_id"] for record in records]
    repeated = [one for one, times in Counter(ids).items() if times > 1]
    shown = ", ".join(ids[:_EXAMPLES])
    if repeated:
        detail = f"key {key}: {len(ids) - len(set(ids))} of {total} records have the key of another, such as {repeated[0]}"
        return Step(
            IDENTITY,
            Outcome.WARN,
            detail,
            "Of records with one key the last wins: declare a `key` that tells them apart",
        )
    return Step(IDENTITY, Outcome.OK, f"key {key}: {shown}" if shown else f"key {key}")


def _default_key(declaration: SourceDeclaration) -> str:
    match declaration.type:
        case "csv":
            return "id, else the content of the row"
        case "singer":
            return "as the tap says"
        case _:
            return "id"


def _mapping(
    declaration: SourceDeclaration, rejects: Sequence[Reject], records: Sequence[dict[str, Any]], total: int
) -> Step:
    if rejects:
        outcome = Outcome.FAIL if not records else Outcome.WARN
        hint = "They would go to quarantine; a `map` may help, and for CSV the dialect"
        return Step(MAPPING, outcome, _reasons(rejects, total), hint)
    filled = {name: sum(record[name] is not None for record in records) for name in MAPPED_FIELDS}
    detail = ", ".join(f"{name} {number}/{len(records)}" for name, number in filled.items() if number)
    empty = [name for name, number in filled.items() if not number]
    if records and not filled["title"]:
        usual = ", ".join(FALLBACKS["title"])
        where = (
            "`map: {title: ...}`; without it "
            f"{'the columns' if isinstance(declaration, CsvSource) else 'the fields'} {usual} are tried"
        )
        return Step(
            MAPPING,
            Outcome.WARN,
            f"no record has a title; {detail or 'nothing is filled'}",
            f"Declare {where}",
        )
    left = f"; empty: {', '.join(empty)}" if empty else ""
    return Step(MAPPING, Outcome.OK, detail + left)


def _changes(declaration: SourceDeclaration, previews: Sequence[Preview]) -> Step:
    nowhere = leading_nowhere(declaration, [one.raw for one in previews])
    if nowhere:
        detail = f"none of {len(previews)} records has {', '.join(nowhere)}, which ignore_changes names"
        return Step(CHANGES, Outcome.WARN, detail, "`kasparro sources preview` shows the fields there are")
    return Step(CHANGES, Outcome.OK, f"not by {', '.join(declaration.ignore_changes)} alone")


def _reasons(rejects: Sequence[Reject], total: int) -> str:
    counted = Counter(reject.reason.value for reject in rejects)
    first = rejects[0]
    where = f" in {first.field}" if first.field else ""
    reasons = ", ".join(f"{reason} {number}" for reason, number in counted.most_common())
    return f"{len(rejects)} of {total} records would be rejected ({reasons}); the first ({first.origin}){where}: {first.message}"
