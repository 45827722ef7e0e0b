"""epicycle runs a cryo-electron microscope through the night with nobody in the room."""

__version__ = "0.1.0"
