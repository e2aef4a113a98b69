"""Sketches: lines drawn from a picture by a detector, from drawings by hand or from landmarks."""
