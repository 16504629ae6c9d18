"""Cloud Run underneath Dagster: one run is one job execution for one pair.

Belongs here: the run launcher, what it asks of the Cloud Run Admin API, and what the container does first. Does not:
the work of a run, or how many run at once (``deploy/dagster.yaml``).
"""
