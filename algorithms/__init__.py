"""Reductions that come with dxflow, one file each; found by file name."""
