"""Processes that are started, watched and ended with all that they have started."""
