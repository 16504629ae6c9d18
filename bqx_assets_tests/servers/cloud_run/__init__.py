"""A Cloud Run Admin API v2 for tests: gRPC by Google's own messages, and executions that are real processes."""
