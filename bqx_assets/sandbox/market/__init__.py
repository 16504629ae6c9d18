"""Bars of the pairs and of the instruments beside them: simulated, or read from a file of rates."""
