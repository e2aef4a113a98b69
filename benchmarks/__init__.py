"""Claims of speed and memory, each with the command that measures it on this machine."""
