"""Verified parquet to published object: upload, verify, swap, retention.

Belongs here: what makes a file public and what may be removed afterwards. Does not: judging the file.
"""
