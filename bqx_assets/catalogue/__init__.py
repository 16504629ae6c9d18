"""Which tables and columns a pair has: families as data, discovery, drift.

Belongs here: the grammar of table names, what a warehouse's listing means, the expectations file. Does not: reading
rows.
"""
