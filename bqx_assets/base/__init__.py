"""What every stage shares: pairs, names, errors, files, artifacts, stores, limits, money.

Belongs here: vocabulary and mechanisms that know nothing of tables' meaning. Does not: anything that reads a
warehouse, knows a family, or imports Dagster.
"""
