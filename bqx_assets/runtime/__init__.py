"""The only package that imports Dagster: partitions, resources, IO manager, assets, checks, automation.

Belongs here: Dagster's view of the stages. Does not: any work a stage could do without Dagster.
"""
