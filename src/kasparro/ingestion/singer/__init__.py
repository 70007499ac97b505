"""Singer taps: programs of their own, run for the length of a run, whose messages become pages of records."""
