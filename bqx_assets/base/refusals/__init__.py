"""What Google's services mean when they refuse: one table from reason to sentence to cure.

Belongs here: reading an answer (``facts``), the words in it (``words``), the table (``table``, ``refusals.toml``), and
the one function that others call (``read``). Does not: trying again, or this package's own error classes.
"""
