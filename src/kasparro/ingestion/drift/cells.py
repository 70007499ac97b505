"""What the text of CSV cells looks like: the cells of a column in, how many there are of a kind out.

Number (whole or decimal), boolean, timestamp or text. It is a guess, so that one cell alone proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_KINDS: Final = {
    kind: re.compile(rf"^(?:{form})$", re.MULTILINE)
    for kind, form in (
        ("number", r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"),
        ("timestamp", r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?"),
        ("boolean", "true|false|True|False|TRUE|FALSE"),
    )
}


def kinds_of_cells(cells: Sequence[str]) -> dict[str, int]:
    """How many of *cells*, none of which is empty, are of which kind. All at once: one search costs a tenth of as many."""
    if "".join(cells).isdecimal():
        return {"number": len(cells)}
    text = "\n".join(cells)
    if text.count("\n") >= len(cells):  # lines within a cell
        text = "\n".join(cell.replace("\n", " ") for cell in cells)
    found: dict[str, int] = {}
    left = len(cells)
    for kind, form in _KINDS.items():
        if left and (met := len(form.findall(text))):
            found[kind], left = met, left - met
    return found | {"text": left} if left else found
