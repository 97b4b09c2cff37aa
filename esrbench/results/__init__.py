"""Read recorded runs, and refuse those that contradict themselves."""
