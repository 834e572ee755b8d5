"""The one results schema: write a cell, read cells, assemble tables.

A cell is one run (environment x agent x hyper-parameters x seed): one Parquet file of curve rows,
`cells/<run_id>.parquet`, whose metadata holds the run's own record. The file is replaced from time
to time with status `running`, so that a curve can be read while its run goes on, and a last time
with the run's end. The tables of a results folder are made from whatever cells are there:

`curves.parquet`  one row per (run, evaluation);
`runs.parquet`, `runs.csv`  one row per run;
`SHA256SUMS`      checksums of these.

Columns named `hyper.*` hold the agent's settings; one that an agent does not have is null, and one
that is a number for one agent and text for another is text in the whole table.
"""

from rl_es.tables.cells import cell_paths, read_cell, write_cell
from rl_es.tables.columns import (
    IDENTITY,
    MEASURES,
    MOST_CENTER,
    RUN,
    SCHEMA_VERSION,
    TIMING,
    finite,
    hyper_columns,
)
from rl_es.tables.folders import load, table_paths, write_tables

__all__ = [
    "IDENTITY",
    "MEASURES",
    "MOST_CENTER",
    "RUN",
    "SCHEMA_VERSION",
    "TIMING",
    "cell_paths",
    "finite",
    "hyper_columns",
    "load",
    "read_cell",
    "table_paths",
    "write_cell",
    "write_tables",
]
