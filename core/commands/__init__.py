"""What the commands of `python -m core` do."""
