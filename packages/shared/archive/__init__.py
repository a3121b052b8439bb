"""The archive as a file: its zip, its names, its description, and the one reader."""
