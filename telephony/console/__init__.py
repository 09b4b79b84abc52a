"""Pages for whoever runs the server: on this machine, or with the bearer token TELEPHONY_API_TOKEN."""
