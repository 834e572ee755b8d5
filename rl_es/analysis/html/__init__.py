"""`report.html`: the page of a sweep in one file, and its templates."""
