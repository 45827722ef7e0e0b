"""The record in the formats that other programs read."""
