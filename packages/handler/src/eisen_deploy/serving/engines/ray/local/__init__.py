"""A Ray of one node for development, as ``eisen-serve run --engine ray`` runs it."""
