"""Pictures of small data: each kind is made from arrays once, and drawn with matplotlib or in a terminal."""
