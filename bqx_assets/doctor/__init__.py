"""``bqx doctor``: looks at everything that a run needs before anything long is started, and changes nothing.

Each theme of the report has its probes in one module. ``probes`` lists them all, ``examine`` runs them.
"""
