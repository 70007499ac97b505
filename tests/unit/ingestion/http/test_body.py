from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent
from kasparro.ingestion.http.body import MIB, Body, Bounds, read_body

pytestmark = pytest.mark.anyio


async def chunks(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(data: bytes, encoding: str | None, bounds: Bounds | None = None, size: int = 1000) -> Body:
    return await read_body(chunks(data, size), encoding, bounds or Bounds())


def packed(data: bytes, encoding: str) -> bytes:
    if encoding == "raw deflate":
        deflater = zlib.compressobj(wbits=-15)
        return deflater.compress(data) + deflater.flush()
    return {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding](data)


@given(
    data=st.binary(max_size=3000) | st.integers(1, 300_000).map(lambda count: b"ab" * count),
    encoding=st.sampled_from(["gzip", "deflate", "raw deflate", "identity"]),
    pieces=st.integers(1, 50),
)
@settings(deadline=None)
async def test_what_was_packed_comes_out_in_chunks_of_any_size(data, encoding, pieces):
    sent = packed(data, encoding)
    body = await read(sent, encoding.removeprefix("raw "), Bounds(ratio=2000), len(sent) // pieces + 1)
    assert body == Body(data, len(sent))


@pytest.mark.parametrize("beyond", [0, 1, 5, 40, 250])
async def test_what_the_inflater_still_holds_when_all_input_is_used_up_is_not_lost(beyond):
    data = (b"ab" * MIB)[: 256 * 1024 + beyond]
    assert (await read(packed(data, "raw deflate"), "deflate", size=MIB)).content == data


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["gzip", "deflate", "raw deflate"]), st.data())
@settings(deadline=None)
async def test_a_cut_is_noticed_wherever_it_is(data, encoding, draw):
    sent = packed(data, encoding)
    cut = sent[: draw.draw(st.integers(1, len(sent) - 1))]
    with pytest.raises(TruncatedContent):
        await read(cut, encoding.removeprefix("raw "))


async def test_several_gzip_members_are_one_body():
    assert (await read(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip", size=1)).content == b"abcd"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_something_after_the_end_is_refused(encoding):
    with pytest.raises(UnexpectedContent):
        await read(packed(b"ab", encoding) + b"more", encoding)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,identity", "compress"])
async def test_what_was_not_asked_for_is_refused(encoding):
    with pytest.raises(UnexpectedContent, match=encoding.partition(",")[0]):
        await read(b"x", encoding)


async def test_a_corrupt_body_is_refused():
    with pytest.raises(UnexpectedContent, match="said to be gzip"):
        await read(b"[1]", "gzip")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_size_is_bounded_before_all_of_it_is_there(encoding):
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        data = packed(b"x" * 10 * MIB, encoding)
        while True:
            taken += 1
            yield data

    with pytest.raises(ResponseTooLarge, match="larger than 20 MiB"):
        await read_body(endless(), encoding, Bounds(size=20 * MIB, ratio=2000))
    assert taken == 3


async def test_the_ratio_is_bounded():
    with pytest.raises(ResponseTooLarge, match="more than 200 times"):
        await read(gzip.compress(b"0" * 30 * MIB), "gzip")


async def test_small_bodies_may_have_any_ratio():
    data = b"0" * MIB
    assert (await read(gzip.compress(data, 9), "gzip")).content == data


async def test_honest_records_that_repeat_themselves_pass():
    one = {
        "status": "active",
        "country": "United States",
        "tags": ["a", "b"],
        "owner": {"name": "same", "x": None},
    }
    data = json.dumps([{"id": number, **one} for number in range(50_000)]).encode()
    sent = gzip.compress(data)
    assert len(data) > 5 * MIB
    assert len(data) / len(sent) < 100
    assert (await read(sent, "gzip", size=65536)).content == data
