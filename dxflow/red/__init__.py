"""RED volumes: the reduced data set of a proposal that remains, with checksums, provenance and metadata."""
