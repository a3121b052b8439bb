"""Who runs the archives: what every server needs of them, and a folder for each server."""
