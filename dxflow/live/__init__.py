"""Results while a run is taken: the numbers that the offline pass will give, of the trains that are there."""
