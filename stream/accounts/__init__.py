"""What is known of alerts and rules, put together from their topics: for the command line and the HTTP API."""
