"""Servers that Google's BigQuery clients talk to in tests.

Belongs here: local-bigquery in an environment of its own, and a Storage Read server with faults. Does not: tests.
"""
