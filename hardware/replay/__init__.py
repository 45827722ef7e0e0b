"""A recorded session taken for a microscope, so that any policy can be tried on it."""

from .microscope import ReplayMicroscope, connect

__all__ = ["ReplayMicroscope", "connect"]
