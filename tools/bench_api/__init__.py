"""`make bench-api`: how fast the API answers, beside a bare reply of the same bytes and beside other servers of the same rows."""
