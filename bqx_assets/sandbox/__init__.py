"""The sandbox makes embedded warehouses: a market, the feature tables computed from it, and faults to inject.

Nothing of the pipeline imports it: reading such a folder is ``extract.embedded``.
"""
