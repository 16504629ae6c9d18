"""Named rules, each giving a verdict with evidence, over one pass of a training file.

Belongs here: what makes a training file right. Does not: what to do about it (blocking is the runtime's and the
publisher's business).
"""
