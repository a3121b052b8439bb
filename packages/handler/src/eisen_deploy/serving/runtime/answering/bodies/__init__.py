"""The bodies of requests and replies: formats, and gzip."""
