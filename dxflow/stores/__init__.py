"""What a finished reduction is written to, one file per format."""
