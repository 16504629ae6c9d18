"""The embedded warehouse: a folder of Parquet tables, and the simulator that fills it.

Belongs here: reading such a folder as a warehouse, making one from simulated or real rates, spoiling one. Does not:
anything the other warehouses need.
"""
