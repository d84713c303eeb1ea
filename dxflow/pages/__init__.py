"""Pages: what a result is, and pictures of all that is in it, as HTML that a browser shows without a network."""
