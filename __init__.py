"""ComfyUI's door to the node pack; there are no nodes yet.

ComfyUI loads this folder as a package under a name made of its path, so everything below imports
relatively. Nothing else imports this file.
"""

from typing import Any

NODE_CLASS_MAPPINGS: dict[str, Any] = {}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}
