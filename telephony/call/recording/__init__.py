"""The journal of one call: its records, the requests of users' code, and bullets in place of secret digits."""
