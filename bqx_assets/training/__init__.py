"""Tools for people who train models on a published file: loading, choosing columns, splitting by time, reproducing.

Nothing here is part of making the file, and nothing of the stages imports it.
"""
