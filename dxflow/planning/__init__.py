"""From algorithms and inputs to a plan of chunks."""
