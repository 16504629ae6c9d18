"""Extracts a pair's tables from a warehouse into slabs at one snapshot, aligned to the spine, resumed by fingerprint."""
