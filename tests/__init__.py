"""The tests. A package, so that `tests.support` is found by its name."""
