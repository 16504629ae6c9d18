"""Servers of the tests, each on 127.0.0.1 and in this process."""
