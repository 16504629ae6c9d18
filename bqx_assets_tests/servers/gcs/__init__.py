"""A small, strict Cloud Storage server for tests: it enforces what the emulators on PyPI accept without a look.

Belongs here: state (``bucket``), faults, uploads, HTTP (``server``). Does not: anything the product imports.
"""
