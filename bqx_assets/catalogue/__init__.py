"""The tables and columns that a pair has: the grammar, a warehouse's listing compared with it, the expectations."""
