"""Benchmarks of what the product promises, each with one command."""
