"""What was tried on workers, and how it ended."""
