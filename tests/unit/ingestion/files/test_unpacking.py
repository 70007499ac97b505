"""Compressed files come back whole, in bounded memory, or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasparro.core.errors import FileTooLarge, SourceError, TruncatedContent, UnexpectedContent
from kasparro.core.etl_config import CsvSource
from kasparro.ingestion.csv.files import SourceFile
from kasparro.ingestion.csv.locations import find, open_file
from kasparro.ingestion.files.unpacking import Compression, Limits, Unpacking
from zstd_writer import CompressionParameter, ZstdCompressor, compress

MIB = 1024 * 1024
CONTENT = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n * 7919 % 10007) for n in range(20_000))
Pack = Callable[[bytes], bytes]
PACKS: dict[Compression, Pack] = {
    Compression.GZIP: partial(gzip.compress, compresslevel=1),
    Compression.BZIP2: partial(bz2.compress, compresslevel=1),
    Compression.XZ: partial(lzma.compress, preset=0),
    Compression.ZSTD: partial(compress, options={CompressionParameter.checksum_flag: 1}),
}
DEFAULTS: dict[Compression, Pack] = {
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
    Compression.ZSTD: partial(compress, level=12),
}
SUFFIXES = {
    Compression.GZIP: ".gz",
    Compression.BZIP2: ".bz2",
    Compression.XZ: ".xz",
    Compression.ZSTD: ".zst",
}
every_compression = pytest.mark.parametrize("compression", PACKS)


def unpack(data: bytes, compression: Compression, size: int = 10_000) -> bytes:
    unpacking = Unpacking(io.BytesIO(data), compression, Limits(), "a")
    return b"".join(iter(lambda: unpacking.read(size) or b"", b""))


def opened(path: Path, **declared: object) -> SourceFile:
    (location,) = find(CsvSource(name="s", folder=path.parent, path=path.name, **declared))
    return open_file(location)


def rest(file: SourceFile) -> bytes:
    try:
        return b"".join(iter(lambda: file.read(256 * 1024), b""))
    finally:
        file.close()


@every_compression
@settings(deadline=None, max_examples=50)
@given(
    pieces=st.lists(st.binary(max_size=200).map(lambda data: data * 1000), max_size=4),
    padding=st.integers(0, 40_000),
    size=st.sampled_from([1, 7, 100, 70_000]),
)
def test_streams_one_behind_the_other_come_back_whole(
    compression: Compression, pieces: list[bytes], padding: int, size: int
) -> None:
    content = b"".join(pieces)[:100_000] if size < 100 else b"".join(pieces)
    packed = b"".join(map(PACKS[compression], [content, *pieces])) + bytes(padding)
    assert unpack(packed, compression, max(size, 100)) == content + b"".join(pieces)


@every_compression
@pytest.mark.parametrize("garbage", [b"x", b"\0\0garbage", b"\x1f\x8b\x08garbage", b"id,name\n" * 10_000])
def test_what_stands_behind_the_end_is_an_error(compression: Compression, garbage: bytes) -> None:
    with pytest.raises((UnexpectedContent, EOFError, *UNPACKING_ERRORS)):
        unpack(PACKS[compression](CONTENT) + garbage, compression)
    with pytest.raises(UnexpectedContent, match="something behind the end"):
        unpack(PACKS[compression](CONTENT) + b"garbage in plenty, more than any header is long", compression)


UNPACKING_ERRORS = (OSError, lzma.LZMAError)


@every_compression
def test_every_cut_is_noticed(compression: Compression, tmp_path: Path) -> None:
    packed = PACKS[compression](CONTENT[:2_000])
    path = tmp_path / f"a{SUFFIXES[compression]}"
    for size in range(len(packed)):
        path.write_bytes(packed[:size])
        with pytest.raises(TruncatedContent):
            rest(opened(path))
    path.write_bytes(packed)
    assert rest(opened(path)) == CONTENT[:2_000]


@every_compression
def test_going_back_and_forth_gives_the_same_bytes(compression: Compression, tmp_path: Path) -> None:
    path = tmp_path / "by-content"
    path.write_bytes(PACKS[compression](CONTENT))
    file = opened(path)
    for offset in (100_000, 10, 200_000, 0, 99_999):
        file.seek(offset)
        assert file.read(1000) == CONTENT[offset : offset + 1000]
    file.close()


def read_through(file: SourceFile) -> None:
    try:
        while file.read(256 * 1024):
            pass
    finally:
        file.close()


def bomb(compression: Compression, size: int) -> bytes:
    """*size* zeros, as small as the format allows."""
    match compression:
        case Compression.GZIP:
            return gzip.compress(bytes(size))
        case Compression.BZIP2:
            return bz2.compress(bytes(size))
        case Compression.XZ:
            return lzma.compress(bytes(size), preset=1)
        case _:
            return compress(bytes(size), level=19)


@every_compression
def test_a_bomb_is_refused_in_bounded_memory(compression: Compression, tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIXES[compression]}"
    path.write_bytes(bomb(compression, 150 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(FileTooLarge, match=r"times its size.*`max_ratio`"):
            read_through(opened(path))
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


@every_compression
def test_rows_of_thousands_of_empty_cells_are_no_bomb(compression: Compression, tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIXES[compression]}"
    content = b"".join(b"%d" % n + b"," * 10_000 + b"\n" for n in range(2_000))
    path.write_bytes(DEFAULTS[compression](content))
    assert rest(opened(path)) == content


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
def test_a_declared_ratio_takes_the_place_of_that_of_the_format(
    compression: Compression, tmp_path: Path
) -> None:
    path = tmp_path / f"a{SUFFIXES[compression]}"
    content = (b"1,a row like many others\n" * 100 + CONTENT[:10_000]) * 1_500
    path.write_bytes(PACKS[compression](content))
    with pytest.raises(FileTooLarge, match="more than 2 times"):
        rest(opened(path, max_ratio=2))
    assert rest(opened(path, max_ratio=10_000)) == content


def test_a_file_larger_than_max_size_is_refused_where_it_passes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    assert rest(opened(path, max_size=len(CONTENT))) == CONTENT
    with pytest.raises(FileTooLarge, match="`max_size`"):
        rest(opened(path, max_size=len(CONTENT) - 1))
    plain = tmp_path / "b.csv"
    plain.write_bytes(CONTENT)
    with pytest.raises(FileTooLarge):
        opened(plain, max_size=1000)


def test_dictionaries_and_windows_are_bounded(tmp_path: Path) -> None:
    huge = {"id": lzma.FILTER_LZMA2, "dict_size": 200 * MIB}
    xz = tmp_path / "a.xz"
    xz.write_bytes(lzma.compress(CONTENT, filters=[huge]))
    zst = tmp_path / "a.zst"
    compressor = ZstdCompressor(options={CompressionParameter.window_log: 28})
    zst.write_bytes(compressor.compress(CONTENT) + compressor.flush())
    for path in (xz, zst):
        with pytest.raises(FileTooLarge, match="memory"):
            rest(opened(path))
    xz.write_bytes(lzma.compress(CONTENT, preset=9))
    zst.write_bytes(compress(CONTENT, level=22))
    assert rest(opened(xz)) == rest(opened(zst)) == CONTENT


@every_compression
@pytest.mark.parametrize("inner", PACKS)
def test_what_is_compressed_twice_is_refused(
    compression: Compression, inner: Compression, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PACKS[compression](PACKS[inner](CONTENT)))
    with pytest.raises(UnexpectedContent, match=f"there is {inner} data again"):
        opened(path)


def test_a_tar_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(1000)))
    with pytest.raises(UnexpectedContent, match="tar archive"):
        opened(path)


@every_compression
@settings(deadline=None, max_examples=100)
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_is_an_error_of_ours_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, compression: Compression, at: int, byte: int
) -> None:
    packed = bytearray(PACKS[compression](CONTENT[:1000]))
    packed[at % len(packed)] = byte
    path = tmp_path_factory.mktemp("one") / f"a{SUFFIXES[compression]}"
    path.write_bytes(packed)
    with suppress(SourceError):
        assert rest(opened(path)) == CONTENT[:1000]
