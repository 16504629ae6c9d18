"""Publishes training files, verifies what is published, and removes what is no longer needed.

The checks of a file are in ``quality``.
"""
