"""The page that fills photos in a browser: static files, with ONNX Runtime for WebAssembly."""
