"""What a run holds: files, trains, frames, masks."""
