"""The fleet of all pairs: the ledger of what runs cost, the state of all pairs, its report, and messages to people.

Nothing here imports Dagster: ``runtime`` and ``cli`` call it.
"""
