"""The servers of the tests, each on 127.0.0.1: of BigQuery, Cloud Storage, Cloud Run, OAuth and PostgreSQL."""
