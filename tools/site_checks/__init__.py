"""Checks of the documentation as readers get it: its links, and its look in a browser."""
