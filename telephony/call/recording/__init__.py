"""Records one call in its journal: its events, the commands of users' code, and bullets in place of secret digits."""
