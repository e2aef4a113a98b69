"""Training samples: where pictures come from, how they are cut, their masks and lines."""
