"""What all figures share: frame, style, marks, notes, file formats."""
