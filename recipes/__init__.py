"""Scripts with a main() that chain passes over runs."""
