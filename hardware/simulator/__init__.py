"""A simulated microscope: one seeded world rendered from the state of one instrument."""
