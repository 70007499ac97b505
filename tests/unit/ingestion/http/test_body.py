from __future__ import annotations

import gzip
import json
import random
import sys
import zlib
from collections.abc import AsyncIterator
from functools import partial

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import ResponseTooLarge, TruncatedContent, UnexpectedContent
from kasparro.ingestion.http.body import MIB, Body, BodyReader, Bounds, read_body

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter
    from compression.zstd import compress as zstd_compress
else:
    from backports.zstd import CompressionParameter
    from backports.zstd import compress as zstd_compress

pytestmark = pytest.mark.anyio

PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstd_compress,
    "identity": bytes,
}


async def chunks(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(data: bytes, encoding: str | None, bounds: Bounds | None = None, size: int = 1000) -> Body:
    return await read_body(chunks(data, size), encoding, bounds or Bounds())


def packed(data: bytes, encoding: str) -> bytes:
    if encoding == "raw deflate":
        deflater = zlib.compressobj(wbits=-15)
        return deflater.compress(data) + deflater.flush()
    return PACKERS[encoding](data)


@given(
    data=st.binary(max_size=3000) | st.integers(1, 300_000).map(lambda count: b"ab" * count),
    encoding=st.sampled_from(["gzip", "deflate", "raw deflate", "br", "zstd", "identity"]),
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


@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from(["gzip", "deflate", "raw deflate", "br", "zstd"]),
    st.data(),
)
@settings(deadline=None)
async def test_a_cut_is_noticed_wherever_it_is(data, encoding, draw):
    sent = packed(data, encoding)
    cut = sent[: draw.draw(st.integers(1, len(sent) - 1))]
    with pytest.raises(TruncatedContent):
        await read(cut, encoding.removeprefix("raw "))


async def test_several_gzip_members_are_one_body():
    assert (await read(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip", size=1)).content == b"abcd"


async def test_several_zstd_frames_are_one_body():
    assert (await read(zstd_compress(b"ab") + zstd_compress(b"cd"), "zstd", size=1)).content == b"abcd"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_something_after_the_end_is_refused(encoding):
    with pytest.raises(UnexpectedContent):
        await read(packed(b"ab", encoding) + b"more", encoding)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br, zstd", "gzip,identity", "compress", "dcb"])
async def test_what_was_not_asked_for_is_refused(encoding):
    with pytest.raises(UnexpectedContent, match=encoding.partition(",")[0]):
        await read(b"x", encoding)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_a_corrupt_body_is_refused(encoding):
    with pytest.raises(UnexpectedContent, match=f"said to be {encoding}"):
        await read(b"[1, 2, 3]", encoding)


async def test_a_zstd_window_that_needs_more_than_8_mib_is_refused():
    options = {CompressionParameter.window_log: 27, CompressionParameter.enable_long_distance_matching: 1}
    with pytest.raises(UnexpectedContent, match="said to be zstd"):
        await read(zstd_compress(b"x" * 100 * MIB, options=options), "zstd")


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


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_the_ratio_is_bounded(encoding):
    with pytest.raises(ResponseTooLarge, match="more than 500 times"):
        await read(packed(b"0" * 30 * MIB, encoding), encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity"])
async def test_blocks_are_of_the_size_that_was_asked_for_and_no_more_is_decoded_than_for_them(encoding):
    data = random.Random(7).randbytes(100_000) + b"0" * 20 * MIB
    reader = BodyReader(chunks(packed(data, encoding), 10**9), encoding, Bounds(ratio=10**6))
    blocks = [await reader.block(MIB)]
    assert len(reader._held) <= 4 * MIB or encoding == "identity"
    while not reader.ended:
        blocks.append(await reader.block(MIB))
    assert {len(block) for block in blocks[:-1]} == {MIB}
    assert b"".join(blocks) == data


async def test_small_bodies_may_have_any_ratio():
    data = b"0" * MIB
    assert (await read(gzip.compress(data, 9), "gzip")).content == data


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_honest_records_that_repeat_themselves_pass(encoding):
    one = {
        "status": "active",
        "country": "United States",
        "tags": ["a", "b"],
        "owner": {"name": "same", "x": None},
    }
    data = json.dumps([{"id": number, **one} for number in range(50_000)]).encode()
    sent = packed(data, encoding)
    assert len(data) > 5 * MIB
    assert len(data) / len(sent) < 150
    assert (await read(sent, encoding, size=65536)).content == data
