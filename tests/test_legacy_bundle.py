"""TensorFlow's checkpoints: read as TensorFlow wrote them, and every damage is found."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import checksum, slow_crc32c, table, write_bundle

from core.errors import WeightsError
from core.legacy.crc32c import LANE, PIECE, crc32c
from core.legacy.foreign import open_checkpoint
from core.legacy.tensor_bundle import open_bundle

DATA = Path(__file__).parent / "data"
VALUES = {
    "net/conv1/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "net/conv1/kernel/Adam": np.zeros((2, 3, 4), np.float32),
    "net/conv2/bias": np.array([0.5, -2.0]),
    "global_step": np.array(12345678901, np.int64),
}


@pytest.mark.parametrize(
    ("text", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_checksum_is_that_of_rfc_3720(text, checksum):
    """Its appendix B.4, and the usual check of digits."""
    assert crc32c(text) == slow_crc32c(text) == checksum


@pytest.mark.parametrize("size", [LANE - 1, LANE, LANE + 1, 3 * LANE, 5 * LANE + 77])
def test_lanes_side_by_side_give_the_checksum_of_the_whole(size):
    text = np.random.default_rng(size).bytes(size)
    assert crc32c(text) == slow_crc32c(text)


def test_long_texts_are_done_piece_by_piece():
    """Only zeros and one byte: what comes before it and after it must both be moved on."""
    text = bytearray(PIECE + 3 * LANE + 5)
    text[PIECE - 1] = 1
    assert crc32c(text) == checksum(bytes(text))


def test_a_checkpoint_that_tensorflow_wrote_is_read():
    """Written by tensorflow-cpu 2.21.0; the values were chosen, not recorded."""
    found = open_bundle(DATA / "tensorflow_written")
    expected = {
        "a/float": torch.arange(15.0).view(3, 5) / 4,
        "a/double": torch.tensor([0.1, -0.1], dtype=torch.float64),
        "a/half": torch.tensor([0.5, 1, 2], dtype=torch.float16),
        "b/bool": torch.tensor([True, False]),
        "b/int32": torch.arange(6, dtype=torch.int32).view(2, 3),
        "b/int64": torch.tensor(-7),
        "c/bfloat": torch.tensor([0.5, -3.0], dtype=torch.bfloat16),
        "c/empty": torch.zeros(0, 3),
        "c/long": torch.arange(700.0).view(7, 100),
    }
    for name, value in expected.items():
        tensor = found.read(name)
        assert tensor.dtype == value.dtype and torch.equal(tensor, value), name
        assert found.shapes[name] == tuple(value.shape)
    assert found.shapes.keys() - expected.keys() == {"c/text", "d/sliced"}
    with pytest.raises(WeightsError, match="c/text is stored of the type 7"):
        found.read("c/text")
    with pytest.raises(WeightsError, match="d/sliced is stored in slices"):
        found.read("d/sliced")


@pytest.mark.parametrize(("shards", "per_block"), [(1, 1000), (3, 1000), (2, 1), (1, 2)])
def test_values_come_back_from_many_files_and_blocks(tmp_path, shards, per_block):
    index = write_bundle(tmp_path / "snap-0", VALUES, shards=shards, per_block=per_block)
    found = open_bundle(index)
    assert found.shapes == {name: value.shape for name, value in VALUES.items()}
    assert len(found.files) == 1 + shards
    for name, value in VALUES.items():
        assert np.array_equal(found.read(name).numpy(), value), name


@pytest.mark.parametrize(
    "given", [".", "checkpoint", "snap-7", "snap-7.index", "snap-7.meta",
              "snap-7.data-00000-of-00001"],
)  # fmt: skip
def test_a_checkpoint_may_be_given_by_folder_prefix_or_any_of_its_files(tmp_path, given):
    write_bundle(tmp_path / "snap-6", VALUES)
    write_bundle(tmp_path / "snap-7", VALUES | {"late": np.zeros(1, np.float32)})
    text = 'model_checkpoint_path: "/home/someone/logs/snap-7"\nall_model_checkpoint_paths: "x"\n'
    (tmp_path / "checkpoint").write_text(text)
    assert "late" in open_checkpoint(tmp_path / given).shapes


def test_a_folder_without_word_of_the_latest_is_refused_unless_there_is_but_one(tmp_path):
    write_bundle(tmp_path / "snap-6", VALUES)
    assert open_checkpoint(tmp_path).path.name == "snap-6.index"
    write_bundle(tmp_path / "snap-7", VALUES)
    with pytest.raises(WeightsError, match=r"holds snap-6\.index, snap-7\.index.*give the \.index"):
        open_checkpoint(tmp_path)


def read_all(prefix: Path) -> dict[str, bytes]:
    found = open_bundle(prefix)
    return {name: found.read(name).numpy().tobytes() for name in found.shapes}


def test_whichever_bit_of_the_index_is_turned_it_is_found_or_means_nothing(tmp_path):
    index = write_bundle(tmp_path / "snap-0", VALUES)
    true, content = read_all(index), index.read_bytes()
    harmless = []
    for i in range(len(content)):
        damaged = bytearray(content)
        damaged[i] ^= 0x10
        index.write_bytes(damaged)
        try:
            assert read_all(index) == true
            harmless.append(i)
        except WeightsError as problem:
            assert "\n" not in str(problem) and "snap-0" in str(problem)
    # The unused part of the footer, and the place of the block of metadata, with that block.
    assert len(harmless) < 60 and min(harmless) > len(content) - 120


def test_damaged_numbers_are_found_and_named(tmp_path):
    write_bundle(tmp_path / "snap-0", VALUES)
    data = tmp_path / "snap-0.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[8 + 5] ^= 1  # after global_step, in the kernel
    data.write_bytes(content)
    found = open_bundle(tmp_path / "snap-0")
    assert found.read("global_step") == 12345678901
    with pytest.raises(WeightsError, match=r"the checksum of net/conv1/kernel is wrong"):
        found.read("net/conv1/kernel")
    data.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match=r"ends before net/conv2/bias"):
        found.read("net/conv2/bias")


def test_a_missing_part_is_named(tmp_path):
    write_bundle(tmp_path / "snap-0", VALUES, shards=2)
    (tmp_path / "snap-0.data-00001-of-00002").unlink()
    with pytest.raises(WeightsError, match=r"snap-0\.data-00001-of-00002.* is not; put both"):
        open_checkpoint(tmp_path / "snap-0")
    (tmp_path / "snap-0.index").unlink()
    with pytest.raises(WeightsError, match="no checkpoint at"):
        open_checkpoint(tmp_path / "snap-0")


@pytest.mark.parametrize(
    ("options", "says"),
    [({"endianness": 1}, "big-endian"), ({"compression": 1}, "compressed")],
)
def test_what_cannot_be_read_is_said(tmp_path, options, says):
    index = write_bundle(tmp_path / "snap-0", VALUES, **options)
    with pytest.raises(WeightsError, match=says):
        open_checkpoint(index)


def test_the_first_format_is_refused_with_what_to_do(tmp_path):
    """It is a single table, of slices of tensors."""
    (tmp_path / "model.ckpt").write_bytes(table([(b"", b"x"), (b"net/conv1/kernel", b"y")]))
    with pytest.raises(WeightsError, match=r"first format.*save it anew by tf\.train\.Saver"):
        open_checkpoint(tmp_path / "model.ckpt")


@pytest.mark.parametrize("size", [0, 1, 47, 48, 200])
def test_a_cut_index_is_damaged(tmp_path, size):
    for name in ("tensorflow_written.index", "tensorflow_written.data-00000-of-00001"):
        shutil.copy(DATA / name, tmp_path)
    index = tmp_path / "tensorflow_written.index"
    index.write_bytes(index.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"tensorflow_written\.index is damaged"):
        open_checkpoint(index)
