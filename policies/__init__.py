"""Choices that adapt to the session: pure functions of the record."""
