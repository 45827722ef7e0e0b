"""Schema versions of the record."""
