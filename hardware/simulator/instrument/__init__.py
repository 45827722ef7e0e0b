"""The instrument: its numbers, its state, its acts, and what goes wrong with them."""
