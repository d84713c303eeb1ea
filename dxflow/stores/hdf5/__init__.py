"""Results in single HDF5 files."""
