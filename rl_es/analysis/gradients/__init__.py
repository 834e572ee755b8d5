"""Reports of gradient estimates: tables, a figure, a page."""
