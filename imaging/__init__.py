"""Verdicts on images: stitching, registration, motion, CTF, ice. Pixels in, frozen records out."""
