"""Training of the networks in core: python -m trainer."""
