"""The operating system as esrbench meets it; no noun of a benchmark."""
