"""A small, strict Cloud Storage server for tests; it enforces rules that the emulators on PyPI do not check."""
