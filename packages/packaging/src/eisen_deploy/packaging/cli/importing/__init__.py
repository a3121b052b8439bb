"""``eisen-pack import``: an archive from what another library has trained and described."""
