"""The format of sweep files for editors and for people, made from the classes that check it."""
