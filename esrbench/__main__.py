"""``python -m esrbench``."""

from esrbench.cli import main

main()
