"""Merges a pair's tables into one wide parquet file: splices their bytes, or joins their values to test the splice.

``engine`` is the entry: ``plan_merge`` and ``merge``. ``plan`` lists the parts and checks them, ``splice`` copies or
composes them, ``result`` describes the file. ``raw`` and its four neighbours make parts of
checkpoints that other programs wrote. ``footer``, ``schema``, ``chunks``, ``pages``, ``fields`` and ``thrift``
know the parquet format, for ``quality`` as well.
"""
