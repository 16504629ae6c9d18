"""The data dictionary of a training file: what each of its columns means, where it comes from, and what it holds.

``release`` publishes it beside the file, and ``training`` chooses columns by it.
"""
