"""Provide the instruments of a launch."""
