"""The HTTP API, ingest over HTTP and the live page: what ``cx serve`` serves."""
