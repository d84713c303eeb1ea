"""One file per kind of cluster, found by name."""
