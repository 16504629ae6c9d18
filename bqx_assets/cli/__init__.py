"""What the command line shows: progress, tables, summaries, failures.

Belongs here: drawing records on a terminal or as plain lines. Does not: doing the work, or the commands (``cli``).
"""
