"""The files of the suite: written whole or not at all, checked where they are read."""
