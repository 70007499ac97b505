"""Entities: the things that records of one or more sources speak of, and which record speaks of which."""
