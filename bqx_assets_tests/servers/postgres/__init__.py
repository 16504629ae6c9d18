"""A PostgreSQL of the tests' own: Debian's programs on a temporary folder.

Belongs here: finding the programs, starting and stopping a server. Does not: what Dagster keeps in it.
"""
