"""`sources init`: from an address or a file to a draft of its declaration, with a reason for every line."""
