"""Explains the refusals of Google's services: a table (``refusals.toml``) gives each reason its meaning and its cure.

``facts`` reads an answer, ``words`` the text in it, ``table`` finds the row, and ``read`` has the functions that other
packages call. The callers decide about repeating a call and raise their own errors.
"""
