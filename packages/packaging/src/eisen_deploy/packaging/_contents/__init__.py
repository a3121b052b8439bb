"""How the parsed arguments become the files of an archive."""
