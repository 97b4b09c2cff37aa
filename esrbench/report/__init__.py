"""The report: a page, charts and tables, a pure function of recorded runs.

```
folder → page → template
       ↘ charts → panels → labels, palette
       ↘ summary → columns, findings
       ↘ history_chart, history_text
```
"""

from esrbench.report.folder import render
from esrbench.report.terminal import terminal_table

__all__ = ["render", "terminal_table"]
