"""Waiting, and its end: deadlines, cancellation, callbacks, a server that gets ready."""
