"""The BigQuery adapter of the warehouse protocol: Google's own clients, Arrow all the way, no pandas.

Belongs here: everything that speaks to BigQuery. Does not: what is read, or what becomes of it. Endpoints come from
configuration; whether a Google or a local server answers is nobody's business here.
"""
