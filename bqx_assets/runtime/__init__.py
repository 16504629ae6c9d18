"""The only package that imports Dagster: it presents the stages as assets, checks, resources and jobs.

Work that needs no Dagster belongs to the stages themselves.
"""
