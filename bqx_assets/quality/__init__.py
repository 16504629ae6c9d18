"""Judges a training file by named rules in one pass over its bytes; each rule gives a verdict with evidence.

``runtime`` and ``release`` decide what a failed rule blocks.
"""
