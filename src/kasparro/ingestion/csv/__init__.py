"""Reading CSV files: bytes in, records with exact byte ranges out. Called by `ingestion.sources.csv` only.

files     the bytes of a file, decompressed, and whether it is still the same file
lines     runs of whole physical lines, with their offsets
encoding  what the bytes mean
dialect   where cells and rows end
format    all that is found out before the first record
header    what the columns are called
rows      cells to JSON payloads
parser    a run of lines to records: the fast ways
careful   a run of lines to records, one at a time, whatever is in it
reading   all of it for one file, page by page
"""
