"""A Cloud Run Admin API v2 for tests: gRPC by Google's own messages, and executions that are real processes.

Belongs here: what Cloud Run does with jobs, executions and tasks. Does not: anything that knows the launcher.
"""
