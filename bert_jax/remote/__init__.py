"""Object stores: `gs://` and the others that fsspec speaks, through copies in a local cache.

What is read is fetched first; what is written is written locally and then published, with the file
that makes it count last. All other code has local paths.
"""
