"""A module beside the tests, which they import by its name."""

EXPECTED = 50.0
