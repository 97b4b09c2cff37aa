"""Exporters that come with esrbench: one file a format, each found through an entry point."""
