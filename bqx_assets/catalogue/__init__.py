"""The catalogue says which tables and columns a pair has: the grammar, a warehouse's listing, the expectations."""
