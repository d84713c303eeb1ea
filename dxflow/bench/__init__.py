"""Benchmarks: cases that are timed in turn, peers that do the same work, tables that say what was reached."""
