"""ComfyUI's door to the node pack, which stands in `nodes`.

ComfyUI loads this folder as a package under a name made of its path, so everything below imports
relatively. Nothing else imports this file.
"""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"
"""Help pages of the nodes; there is no JavaScript."""

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
