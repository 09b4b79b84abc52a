"""The web console: pages for operators, on this machine or with the bearer token TELEPHONY_API_TOKEN."""
