"""The one process that writes one file."""
