"""Kasparro: many sources in, one traceable dataset in PostgreSQL out, served live over HTTP."""

__version__ = "0.1.0"
