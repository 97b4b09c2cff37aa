"""Wrap the operating system; know nothing of benchmarks."""
