"""The rows of the catalogue that are shown by tests elsewhere, and those that nobody can answer."""

IMPOSSIBLE = {
    "D5": "a bit flip in an uncompressed chunk: the files have no checksum, nothing tells it from data",
}
