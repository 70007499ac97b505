"""What API and CSV drafts have in common: tried on the sample, with whatever does not hold taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kasparro.core.catalog_file import read_catalog
from kasparro.core.etl_config import SourceDeclaration
from kasparro.core.redaction import register_secret
from kasparro.ingestion.prepare import Recipe
from kasparro.schemas.data import MAPPED_FIELDS
from kasparro.schemas.ingest import Keyed, RawRecord, Reject
from kasparro.services.drafting.draft import Draft, catalog_text
from kasparro.services.drafting.request import Asked

CATALOG: Final = "kasparro.yaml"


def declared(draft: Draft, folder: Path, variables: Mapping[str, str]) -> SourceDeclaration:
    """The draft as the product reads it. Raises `ConfigurationError`, also for a variable that is not set."""
    read = read_catalog(catalog_text(draft), folder / CATALOG, {**variables, **draft.secrets})
    return read.source(draft.name)


def tried(draft: Draft, folder: Path, variables: Mapping[str, str], sample: Sequence[RawRecord]) -> Draft:
    """*draft* without the lines of its map that reject records of the *sample*, and a note if some are rejected all the same."""
    for _ in MAPPED_FIELDS:
        rejects = _rejects(declared(draft, folder, variables), sample)
        faulty = {reject.field for reject in rejects}
        if not any(line.key in faulty and not line.off for line in draft.map):
            break
        lines = [
            replace(one, off=True, why="does not fit every record") if one.key in faulty else one
            for one in draft.map
        ]
        draft = replace(draft, map=lines)
    if not rejects:
        return draft
    first = rejects[0]
    why = f"the first as {first.reason.value}: {first.message}"
    note = f"{len(rejects)} of {len(sample)} sampled records would be rejected, {why}"
    return replace(draft, notes=[*draft.notes, note])


def _rejects(declaration: SourceDeclaration, sample: Sequence[RawRecord]) -> list[Reject]:
    recipe = Recipe.of(declaration)
    identified = recipe.identify(sample)
    keyed = [one for one in identified if isinstance(one, Keyed)]
    outcomes = [*(one for one in identified if isinstance(one, Reject)), *recipe.normalise(keyed)]
    return [one for one in outcomes if isinstance(one, Reject)]


def secret_notes(asked: Asked) -> list[str]:
    """What has to be set before the draft can be used; from now on nothing shows these secrets."""
    for value in asked.secrets.values():
        register_secret(value)
    return [
        f"the credential you gave was not written into the draft: set {name} to it, in the environment or in .env"
        for name in asked.secrets
    ]
