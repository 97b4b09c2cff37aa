"""Instruments: what a launch's process and its machine did while something was timed."""
