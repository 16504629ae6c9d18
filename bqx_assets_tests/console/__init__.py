"""Tests of bqx_assets.console."""
