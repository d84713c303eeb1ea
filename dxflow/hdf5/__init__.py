"""The process in which HDF5 writes, and what it writes."""
