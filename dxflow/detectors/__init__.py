"""Facts of the detectors, one small file each."""
