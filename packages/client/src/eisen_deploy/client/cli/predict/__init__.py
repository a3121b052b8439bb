"""``eisen-client predict``: files to the model, and its outputs to files."""
