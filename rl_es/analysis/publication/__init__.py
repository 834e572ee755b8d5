"""Tables for papers and pages: means with intervals, in LaTeX, Markdown or CSV."""
