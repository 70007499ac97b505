"""Where the tests keep databases for as long as they need them: in memory, where there is room.

A test that has a database of its own makes and deletes some three hundred files. That takes a file system on a disk five to ten
times as long, and ext4 looks at all that were deleted in the last seconds before it makes the next one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 2_000_000_000


def _is_roomy() -> bool:
    return os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM


SCRATCH: Final = _MEMORY if _is_roomy() else Path(tempfile.gettempdir())
