"""The recipe in ``deploy/``: its variables, its script, its files, and the roles that it grants."""
