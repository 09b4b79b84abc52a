"""Records one call in its journal: the events, the commands of users' code, and bullets in place of secret digits."""
