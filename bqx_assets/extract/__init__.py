"""Extracts a pair's tables from a warehouse into slabs: at one snapshot, on the spine's rows, reused while fresh."""
