"""Whether a file still begins with what was read of it: its bytes are read again and their digest compared.

In: a file just opened, and what is known of it. Out: how much of it stands. Called by `turns`. Reading and hashing is a hundred
times as fast as loading, and no date can deceive it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kasparro.ingestion.csv.digest import PrefixDigest
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.progress import FileState, Place

_READ_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """How far a file is what it was: up to `place`, with the digest up to there, or, if `whole`, up to its end."""

    place: Place
    digest: PrefixDigest
    whole: bool


def kept(file: SourceFile, state: FileState) -> Kept | None:
    """Return how much of *file* is as *state* says, None when it is another file by now."""
    if file.size is not None and file.size < state.places[0].offset:
        return None
    digest = PrefixDigest()
    found: list[Kept] = []
    for place in state.places:
        if not read_up_to(file, place.offset, digest) or digest.at(place.offset) != place.digest:
            return found[-1] if found else None
        found.append(Kept(place, digest.copy(), whole=False))
    return found[0] if file.read(1) else replace(found[-1], whole=True)


def read_up_to(file: SourceFile, offset: int, digest: PrefixDigest) -> bool:
    """Feed *digest* from *file* up to *offset*; False when the file ends before."""
    while digest.offset < offset:
        piece = file.read(min(_READ_BYTES, offset - digest.offset))
        if not piece:
            return False
        digest.take(piece)
    return True
