"""The record of a night: tables, journal, images, read-only views."""
