"""The environment of a server: what is installed there, and the variables it gets."""
