"""What is on disk: complete or absent."""
