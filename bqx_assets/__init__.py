"""bqx_assets: for each forex pair, 667 feature tables and one targets table become one verified training parquet.

The packages are named so that alphabetical order is data flow is import order:
``base`` < ``catalogue`` < ``extract`` < ``merge`` < ``quality`` < ``release`` < ``runtime``.
"""
