"""Zarr's shards."""
