"""From places in a picture to places the beam goes: frames, beam-image-shift groups, visiting order."""
