"""Fetching only what changed: the version of a record, what is asked for, how far a fetch has come, answers that say 304."""
