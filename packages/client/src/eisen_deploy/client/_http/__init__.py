"""One request over HTTP: connections, credentials, the reply's bytes, what failures mean."""
