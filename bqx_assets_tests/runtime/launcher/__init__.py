"""The launcher against a Cloud Run whose executions are real processes."""
