"""Measures ingestion on this machine, beside what PostgreSQL itself can do with the same rows: `make bench`.

What is measured, how, and how to read it: docs/benchmarks.md. `__main__` is the whole of it on one screen; `sections` says which
steps there are, `measuring` how one is measured, `report` what comes out.
"""
