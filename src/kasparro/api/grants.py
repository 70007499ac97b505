"""What a scope allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kasparro.core.config import Scope

GRANTS: Final[Mapping[Scope, frozenset[Scope]]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.ADMIN: frozenset({Scope.READ, Scope.ADMIN}),
}
"""What a key of a scope may do."""
