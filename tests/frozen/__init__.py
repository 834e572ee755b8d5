"""Records what a checkout does, through its command line alone, and compares two recordings.

    python -m tests.frozen record OUT [--checkout DIR] [--jobs NAME ...] [-j 2]
    python -m tests.frozen reread BASE OUT [--checkout DIR]
    python -m tests.frozen compare A B

For a refactoring: record the revision before it and the one after it, on one machine, and compare.
A recording holds the output of every command and the files that the commands wrote, as they are;
`compare` leaves out what differs between equal runs, such as times, dates and revisions. `reread`
lets a checkout read and continue the results folders of an earlier recording. Nothing here imports
the package under test, so that one version of these scripts records every revision.
"""
