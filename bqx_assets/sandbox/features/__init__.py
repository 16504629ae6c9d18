"""The feature tables' formulas: from bars to the columns that the grammar names.

Belongs here: one module a family or a group of kinds, pure functions of arrays. Does not: files, or where bars come
from.
"""
