"""Export: a generator as an ONNX file or a TensorRT engine, checked against PyTorch."""
