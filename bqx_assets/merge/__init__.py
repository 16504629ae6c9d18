"""Slabs to one wide parquet: the join oracle, the splice, parquet footers, pre-flight.

Belongs here: putting aligned columns into one file. Does not: reading a warehouse, judging the result.
"""
