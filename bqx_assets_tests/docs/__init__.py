"""The documentation site: its build, its generated pages, and the commands in it."""
