"""Released checkpoints of other projects: recognised by names and shapes, checked, converted."""
