"""A Dask-distributed dataflow framework for X-ray laser detector data."""
