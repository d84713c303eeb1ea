"""Results as EuXFEL files: places, records, datasets."""
