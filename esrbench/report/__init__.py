"""The report: a page, charts and tables, a pure function of recorded runs."""
