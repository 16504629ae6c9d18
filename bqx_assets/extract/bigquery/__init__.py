"""The BigQuery adapter of the warehouse protocol: Google's own clients, Arrow from end to end, no pandas.

Everything that speaks to BigQuery is here. Endpoints come from the settings: no code here knows whether Google or a
local server answers.
"""
