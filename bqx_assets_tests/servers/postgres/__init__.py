"""A PostgreSQL server for the tests: Debian's programs on a temporary folder."""
