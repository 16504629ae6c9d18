"""The servers that Google's BigQuery clients talk to in tests."""
