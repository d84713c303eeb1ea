"""One file per format, found by name."""
