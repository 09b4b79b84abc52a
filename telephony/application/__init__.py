"""The ASGI application: it combines the phone server and the console, and starts and stops both."""
