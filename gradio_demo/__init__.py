"""The Gradio demo: a page to paint a mask on and to see the filled picture."""
