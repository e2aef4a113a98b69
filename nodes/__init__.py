"""ComfyUI nodes: thin shells round core, loaded only by the root package."""
