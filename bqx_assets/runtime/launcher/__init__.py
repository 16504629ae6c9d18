"""Launches each Dagster run as one execution of a Cloud Run job, for one pair.

``cloud_run`` is the run launcher, ``client`` calls the Admin API, and ``container`` is what a job's container runs
first. ``deploy/dagster.yaml`` limits how many runs are at work at once.
"""
