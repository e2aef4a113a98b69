"""Filling by the million: shards of pictures through a pool of workers on Ray."""
