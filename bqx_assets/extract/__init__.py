"""Warehouse to slabs: reading tables at one snapshot, aligning them to the spine, resuming by fingerprint.

Belongs here: the warehouse protocol and its adapters, alignment, slabs. Does not: putting slabs together.
"""
