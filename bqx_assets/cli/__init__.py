"""The command line ``bqx``: its commands, and what they show on a terminal, in a pipe and as JSON."""
