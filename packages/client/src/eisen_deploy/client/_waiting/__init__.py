"""Waiting, and its end: the deadline, cancellation, progress, a server that gets ready."""
