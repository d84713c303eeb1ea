"""Every run as it appears: seen, taken for complete, and what is to be done with it done once, over restarts."""
