"""The fixed texts and clips of a call in each language, with the voices of `<Say>`."""
