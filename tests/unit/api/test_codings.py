import gzip
import zlib
from functools import partial

import brotli
import pytest

from kasparro.api.codings import Accepted, Coding, accepted, deflated, gzip_around, packer, zstd

UNPACKED = {Coding.ZSTD: zstd.decompress, Coding.BROTLI: brotli.decompress, Coding.GZIP: gzip.decompress}
TEXT = b'{"title": "Schaumburg Regional", "number": 4711}' * 2000


@pytest.mark.parametrize(
    ("sent", "best", "with_gzip"),
    [
        (b"", None, False),
        (b"identity", None, False),
        (b"deflate", None, False),
        (b"gzip", Coding.GZIP, True),
        (b"GZip", Coding.GZIP, True),
        (b"x-gzip", Coding.GZIP, True),
        (b"gzip, deflate", Coding.GZIP, True),
        (b"gzip, deflate, br", Coding.BROTLI, True),
        (b"gzip, deflate, br, zstd", Coding.ZSTD, True),
        (b"*", Coding.ZSTD, True),
        (b"*;q=0.5, zstd;q=0", Coding.BROTLI, True),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", Coding.BROTLI, False),
        (b"gzip ; q=0.5 , br;Q=0.4", Coding.GZIP, True),
        (b"gzip;q=0", None, False),
        (b"gzip;q=0.000, *;q=0", None, False),
        (b"gzip;q=0.5, identity", None, False),
        (b"identity;q=0.5, gzip", Coding.GZIP, True),
        (b"gzip;q=2", None, False),
        (b"gzip;q=nan", None, False),
        (b"gzip;q=x, br;q=-1", None, False),
        (b",;,;q,=", None, False),
        (b"\xff\x00gzip" * 5000, None, False),
    ],
)
def test_the_coding_that_is_most_welcome_is_chosen(sent, best, with_gzip):
    assert accepted(sent) == Accepted(best, with_gzip)


def drained(decompressor: brotli.Decompressor, packed: bytes) -> bytes:
    """All of it: one call gives a piece of bounded size."""
    unpacked = piece = decompressor.process(packed)
    while piece:
        piece = decompressor.process(b"")
        unpacked += piece
    return unpacked


@pytest.mark.parametrize("coding", Coding)
def test_what_was_put_in_can_be_read_before_the_end(coding):
    one = packer(coding)
    opened = {
        Coding.ZSTD: lambda: zstd.ZstdDecompressor().decompress,
        Coding.BROTLI: lambda: partial(drained, brotli.Decompressor()),
        Coding.GZIP: lambda: zlib.decompressobj(31).decompress,
    }[coding]()

    for piece in (b"first\n", TEXT, b"third\n"):
        assert opened(one.pack(piece)) == piece
    assert opened(one.finish(b"last\n")) == b"last\n"


@pytest.mark.parametrize("coding", Coding)
def test_a_whole_answer_is_packed_and_can_be_unpacked(coding):
    packed = packer(coding).finish(TEXT)

    assert UNPACKED[coding](packed) == TEXT
    assert len(packed) < len(TEXT) // 10


@pytest.mark.parametrize("beginning", [b"", b"{", b"x" * 65_535, b"x" * 65_536, bytes(200_000)], ids=len)
def test_a_beginning_before_what_is_kept_is_one_file_of_gzip(beginning):
    whole = gzip_around(beginning, TEXT, deflated(TEXT))

    one = zlib.decompressobj(31)
    assert one.decompress(whole) + one.flush() == beginning + TEXT
    assert one.eof
    assert one.unused_data == b""
