"""Object stores: one protocol, the local twin here, Cloud Storage beside it.

Belongs here: put, get, compose, list, delete with generations and CRC32C. Does not: what an object is for.
"""
