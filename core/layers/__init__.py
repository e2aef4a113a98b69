"""Layers: the maths of the papers, without any network built of them."""
