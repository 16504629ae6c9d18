"""Everything that all stages share: pairs, names, settings, errors, files, records, stores, prices.

Nothing here knows what a table means: no module reads a warehouse, knows a family, or imports Dagster.
"""
