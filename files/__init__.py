"""Pictures on disk: whole or absent, never half."""
