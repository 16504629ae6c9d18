"""The worked examples of the repository's own folder examples/, run as a person runs them."""
