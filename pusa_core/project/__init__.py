"""A long video as an editing table: its text, its plan in frames, its files on disk, and what makes the windows that are missing."""
