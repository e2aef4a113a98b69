"""The networks, the pipeline and the backends of Gatefill; imports nothing of ours but itself."""
