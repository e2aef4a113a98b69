"""Which reader opens a foreign file: by what the file is, not by how it is called."""

from pathlib import Path

from ..errors import WeightsError
from .checkpoint import ZIP, Checkpoint, open_safetensors, open_torch
from .tensor_bundle import is_bundle, is_first_format, open_bundle

PICKLE = b"\x80\x02"
"""How files of torch.save begin before PyTorch 1.6."""
NOT_WEIGHTS = {
    b"\x1f\x8b": "a gzip archive; unpack it and give the file of weights in it",
    b"Rar!": "a RAR archive; unpack it and give the file of weights in it",
    b"<": "a web page, not the file that was to be downloaded; download it by a browser",
    b"\x89HDF": "an HDF5 file, which no known release is",
}
"""How files begin that are often given in place of weights, and what they are."""


def open_checkpoint(path: Path) -> Checkpoint:
    """A TensorFlow checkpoint (folder, prefix or one of its files), a PyTorch or safetensors file.

    Raises WeightsError if there is none at `path`, or one that cannot be read.
    """
    if is_bundle(path):
        return open_bundle(path)
    if not path.is_file():
        raise WeightsError(
            f"no checkpoint at {path}; give a .pth, .pt or .safetensors file, or the prefix or "
            "folder of a TensorFlow checkpoint (NAME.index and NAME.data-...)"
        )
    with path.open("rb") as file:
        start = file.read(16)
    for sign, what in NOT_WEIGHTS.items():
        if start.lstrip().startswith(sign):
            raise WeightsError(f"{path} is {what}")
    if is_first_format(path):
        raise WeightsError(
            f"{path} is a checkpoint of TensorFlow's first format (before 1.0), which is not read "
            "here; restore it in TensorFlow and save it anew by tf.train.Saver"
        )
    if path.suffix == ".safetensors":
        return open_safetensors(path)
    if start.startswith((ZIP, PICKLE)):
        return open_torch(path)
    raise WeightsError(
        f"{path} is neither a PyTorch file, a safetensors file nor a TensorFlow checkpoint; give "
        "the file as its project released it"
    )
