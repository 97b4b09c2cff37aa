"""Runners that come with esrbench: one file a runtime, each found through an entry point."""
