"""Object stores: the protocol, and its implementations for a local folder and for a bucket of Cloud Storage."""
