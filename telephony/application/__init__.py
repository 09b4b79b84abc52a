"""The ASGI application: what answers the phone, the console above it, and what starts and ends both."""
