"""zstd, from Python where it brings it along (3.14), else from its backport, which is the same."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["DecompressionParameter", "ZstdDecompressor", "ZstdError"]
