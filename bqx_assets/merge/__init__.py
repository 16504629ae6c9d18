"""Merges a pair's tables into one wide parquet file: splices their bytes, or joins their values to test the splice.

``engine`` is the entry: ``plan_merge`` and ``merge``. ``plan`` lists and checks the parts, ``splice`` copies or
composes them, and ``result`` describes the file. ``raw`` and ``raw_*`` make parts of checkpoints that other programs
wrote. ``footer``, ``schema``, ``chunks``, ``pages``, ``fields`` and ``thrift`` implement the parquet format, which
``quality`` uses too.
"""
