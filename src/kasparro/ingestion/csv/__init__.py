"""Reading CSV files: bytes in, records with exact byte ranges out. Called by `ingestion.sources.csv` only.

turns     all of it: the files of a source in their order
locations which files those are
files     the bytes of a file, decompressed, and whether it is still the same file
lines     runs of whole physical lines, with their offsets
encoding  what the bytes mean
dialect   where cells and rows end
format    all that is found out before the first record
header    what the columns are called
rows      cells to JSON payloads
parser    a run of lines to records: the fast ways
careful   a run of lines to records, one at a time, whatever is in it
stream    the runs of a file, one after the other
digest    what tells that bytes are the same as the last time
reading   one file in pages
repeats   equal rows told apart
progress  how far the files were read: cursors
resuming  how much of a file is what it was
"""
