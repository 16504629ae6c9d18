"""The formulas of the feature tables: pure functions from bars to the columns that the grammar names."""
