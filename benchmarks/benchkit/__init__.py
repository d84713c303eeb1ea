"""What the scripts of benchmarks/ share and `dxflow bench` has no use for."""
