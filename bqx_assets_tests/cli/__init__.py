"""Tests of bqx_assets.cli."""
