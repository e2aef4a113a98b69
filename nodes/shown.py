"""What a node shows on itself: words and pictures."""

from comfy_api.latest import io


def say(node: type[io.ComfyNode], text: str) -> None:
    """Show `text` on a node that has asked for its id (`io.Hidden.unique_id`)."""
    if node.hidden is not None and node.hidden.unique_id:
        from server import PromptServer  # brings the whole web server along

        # Nodes 2.0 reads it as Markdown, where a line goes on until two spaces end it.
        lines = text.replace("\n", "  \n")
        PromptServer.instance.send_progress_text(lines, node.hidden.unique_id)
