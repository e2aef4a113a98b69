"""Masks: drawn by seed, found in files and label maps, read from pictures; 1 = hole."""
