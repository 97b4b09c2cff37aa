"""What a recorded run must be true to: its own plan, its own numbers, and the digests of its files."""
