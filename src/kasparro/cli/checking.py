"""How a check of a source went, for people and for programs."""

from __future__ import annotations

import json
from typing import Any, Final

from kasparro.cli.output import print_line, print_table, textual
from kasparro.core.redaction import for_people
from kasparro.services.check_steps import Outcome, Step
from kasparro.services.preview import FirstPage, Preview
from kasparro.services.source_check import SourceCheck

_LONGEST: Final = 200
"""Characters of a detail in the table; what has failed is told at full length as the error."""


def print_check(found: SourceCheck) -> None:
    """A line for each step, and under it what to do about those that did not go well."""
    print_table(textual("step", "outcome", "found"), [_row(step) for step in found.steps])
    for step in found.steps:
        if step.hint and not (found.error and step.outcome is Outcome.FAIL):  # that one is told as the error
            print_line(f"{step.step}: {step.hint}")


def _row(step: Step) -> list[str]:
    took = "" if step.milliseconds is None else f" ({step.milliseconds:,} ms)"
    detail = step.detail if len(step.detail) <= _LONGEST else f"{step.detail[:_LONGEST]}..."
    return [step.step, step.outcome.value, detail + took]


def check_document(name: str, found: SourceCheck) -> dict[str, Any]:
    """What `--json` prints: the steps, and what came with the first page."""
    steps = [_step_document(step) for step in found.steps]
    if found.page is None:
        error = found.error
        return {
            "source": name,
            "reachable": False,
            "error_code": error.code if error else None,
            "error": for_people(str(error)) if error else None,
            "steps": steps,
        }
    return {"source": name, "reachable": True, **_page_document(found.page), "steps": steps}


def _page_document(page: FirstPage) -> dict[str, Any]:
    first = page.previews[0] if page.previews else None
    record = json.loads(first.record) if first and first.record else {}
    return {
        "bytes": page.size,
        "records": page.records,
        "rejects": sum(one.reject is not None for one in page.previews),
        "total": page.total,
        "more": page.more,
        "notices": [notice.message for notice in page.notices],
        "keys": _keys(first),
        "identity": record.get("source_id"),
        "problem": f"{first.reject.reason.value}: {first.reject.message}" if first and first.reject else None,
    }


def _keys(first: Preview | None) -> list[str]:
    try:
        received = json.loads(first.raw) if first else None
    except ValueError:
        return []
    return list(received) if isinstance(received, dict) else []


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "step": step.step,
        "outcome": step.outcome.value,
        "detail": for_people(step.detail),
        "hint": step.hint,
        "milliseconds": step.milliseconds,
    }
