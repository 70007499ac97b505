"""`kasparro doctor`: what may be wrong with an installation, each with what to do about it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kasparro.cli import checks
from kasparro.cli.checks import Finding, Verdict, failed
from kasparro.cli.output import print_json, print_table, textual
from kasparro.cli.session import begin
from kasparro.core.config import Settings
from kasparro.core.errors import ConfigurationError, KasparroError

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this installation and say what to do about what is wrong (exit code 1: something is).

    Nothing is changed: not even the embedded database is made.
    """
    findings = [*checks.installation(), *_settings(context)]
    if as_json:
        print_json([_document(finding) for finding in findings])
    else:
        rows = [(f.verdict.value, f.check, f.detail, f.hint) for f in findings]
        print_table(textual("", "check", "found", "what to do"), rows)
    raise typer.Exit(int(any(finding.verdict is Verdict.FAIL for finding in findings)))


def _settings(context: typer.Context) -> list[Finding]:
    try:
        settings = begin(context)
    except ConfigurationError as error:
        return [Finding("settings", Verdict.FAIL, str(p), error.hint) for p in error.problems]
    found = [Finding("settings", Verdict.OK, f"environment {settings.environment}")]
    for check in checks.CHECKS:
        found += check(settings)
    return found + _database(settings)


def _database(settings: Settings) -> list[Finding]:
    try:
        return asyncio.run(checks.database(settings))
    except KasparroError as error:
        return [failed("database", error)]


def _document(finding: Finding) -> dict[str, str | None]:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "detail": finding.detail,
        "hint": finding.hint,
    }
