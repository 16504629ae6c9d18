"""What a run needs, looked at before anything long is started: ``bqx doctor``.

Belongs here: probes, grouped by what they look at, and the report they give. Does not: mending, or drawing.
"""
