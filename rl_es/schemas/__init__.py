"""The format of sweep files, told from the classes that check it: to editors and to people."""
