"""From file bytes to reused buffers."""
