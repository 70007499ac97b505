"""The digest of a beginning, at any place of it that can be asked for."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from kasparro.ingestion.csv.digest import DIGEST_BYTES, PrefixDigest


def whole(content: bytes) -> str:
    return blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_any_place_of_the_last_run_has_the_digest_of_all_before_it(runs: list[bytes]) -> None:
    digest, content = PrefixDigest(), b""
    for run in runs:
        digest.take(run)
        for offset in range(len(content), len(content + run) + 1):
            assert digest.at(offset) == whole((content + run)[:offset])
        content += run


@given(
    st.binary(max_size=9),
    st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=4),
    st.binary(max_size=9),
)
def test_a_long_line_has_its_digest_at_its_beginning_and_behind_it(
    before: bytes, pieces: list[bytes], after: bytes
) -> None:
    digest = PrefixDigest()
    digest.take(before)
    digest.take(b"")
    for piece in pieces:
        digest.extend(piece)
    line = b"".join(pieces)
    assert digest.at(len(before)) == whole(before)
    assert digest.at(len(before + line)) == whole(before + line)
    copy = digest.copy()
    copy.take(after)
    assert (digest.offset, copy.at(len(before + line + after))) == (
        len(before + line),
        whole(before + line + after),
    )
