"""Bytes of files to arrays."""
