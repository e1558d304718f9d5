"""Tasks, one file each: read, encode, loss, decode, score; and what they share."""
