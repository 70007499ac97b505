"""An upstream to load from: two REST APIs that page, authenticate and limit as real ones do, on real airports.

`kasparro up --playground` and `kasparro playground` serve it; tests run it in their own loop. Where the data comes from is
said in data/README.md.
"""

from kasparro.playground.app import create_playground
from kasparro.playground.keys import PlaygroundKeys
from kasparro.playground.server import serve_playground

__all__ = ["PlaygroundKeys", "create_playground", "serve_playground"]
