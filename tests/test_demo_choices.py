"""What there is to choose from: networks, what they are compared with, ways of drawing lines."""

import importlib.util
import logging
import shutil

import pytest
import torch
from demos import layer_file, mask_file, picture_file, pixels, service_in, write_models
from test_hed import controlnet_file, sniklaus_file

from core.backends import RUNTIMES
from core.errors import ConfigError, ImageError, InpaintError
from core.models.edges import EdgeConfig, EdgeDetector
from core.sketch import files
from core.sketch.files import drawer_kind, is_installed
from core.weights import BUNDLED, save_weights
from gradio_demo import models as part
from gradio_demo.models import Models
from gradio_demo.running import Job
from gradio_demo.service import Order
from gradio_demo.sources import Given, Painting


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_a_network_that_is_put_there_is_found_and_one_that_is_broken_is_named_once(folder, caplog):
    models = Models(folder)
    assert "new.safetensors" not in models.names()
    shutil.copy(BUNDLED / "deepfillv2-photos.safetensors", folder / "new.safetensors")
    (folder / "half.safetensors").write_bytes(b"nothing")
    (folder / "half.onnx").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "gatefill"):
        names = models.names()
        assert "new.safetensors" in names and models.names() == names
    assert not any(name.startswith("half") for name in names)
    said = sorted(record.getMessage().split(" is not offered: ")[0] for record in caplog.records)
    assert said == ["half.onnx", "half.safetensors"]
    shutil.copy(folder / "new.safetensors", folder / "half.safetensors")
    assert "half.safetensors" in models.names()
    (folder / "new.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"there is no network 'new\.safetensors' here"):
        models.path("new.safetensors")


def test_the_first_network_is_compared_with_one_that_takes_the_same(folder):
    assert Models().other() == ("scfegan-faces-small", "auto")  # it takes a sketch too
    write_models(folder)
    assert Models(folder).other() == ("tiny.safetensors", "auto")
    tiny = folder / "tiny.safetensors"
    assert Models(folder, tiny).other() == ("deepfillv2-photos", "auto")
    assert Models(folder, BUNDLED / "scfegan-faces-small.safetensors").other() == (
        "scfegan-faces-small", "auto",
    )  # fmt: skip


def test_a_graph_without_its_like_is_compared_by_two_runtimes(folder, monkeypatch):
    monkeypatch.setattr(Models, "backends", lambda self, name: RUNTIMES)  # as for a graph
    there = {"openvino", "onnxruntime"}
    monkeypatch.setattr(part.importlib.util, "find_spec", lambda name: name in there or None)
    assert Models().other() == ("deepfillv2-photos", "openvino")
    tiny = write_models(folder) / "tiny.safetensors"
    assert Models(None, tiny).other() == ("deepfillv2-photos", "auto")  # it has its like
    assert Models(backend="openvino").other() == ("deepfillv2-photos", "onnxruntime")
    there.remove("openvino")
    assert Models().other() == ("deepfillv2-photos", "onnxruntime")
    there.clear()
    assert Models().other() == ("scfegan-faces-small", "auto")


def test_drawers_are_offered_by_what_their_files_hold(folder, tmp_path, monkeypatch, caplog):
    torch.save(sniklaus_file(), folder / "network-bsds500.pytorch")
    torch.save(controlnet_file(), folder / "ControlNetHED.pth")
    torch.save({"weight": torch.ones(3)}, folder / "other.pth")
    (folder / "broken.pth").write_bytes(b"nothing")
    (folder / "face_landmarker.task").write_bytes(b"model")
    save_weights(folder / "mine.safetensors", EdgeDetector(EdgeConfig()))
    write_models(folder)
    service = service_in(tmp_path / "store", folder)
    hed = ["ControlNetHED.pth", "mine.safetensors", "network-bsds500.pytorch"]
    known = importlib.util.find_spec
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    assert service.drawers() == ["detector", "canny", *hed]

    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    assert service.drawers() == ["detector"]  # it says what to install
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: name != "cv2" or None)
    assert service.drawers() == ["detector", hed[0], "face_landmarker.task", *hed[1:]]
    assert drawer_kind(folder / "face_landmarker.task") == "landmarks"
    monkeypatch.setattr(files.importlib.util, "find_spec", known)
    lines = [
        pixels(service.sketch(picture_file(tmp_path / "photo.png"), name, Job()))
        for name in (*hed, "detector")
    ]
    assert all(one.shape == (80, 100) for one in lines)
    with pytest.raises(ConfigError, match=r"no way of drawing lines is called 'other\.pth'"):
        service.sketch(picture_file(tmp_path / "photo.png"), "other.pth", Job())


def test_a_drawer_whose_file_changed_is_opened_anew(folder, tmp_path):
    torch.manual_seed(0)
    service = service_in(tmp_path / "store", folder)
    path, photo = folder / "mine.safetensors", picture_file(tmp_path / "photo.png")
    found = []
    for bias in (50.0, -50.0):
        detector = EdgeDetector(EdgeConfig())
        for name, value in detector.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.constant_(value, bias)
        save_weights(path, detector)
        service.sketch(photo, path.name, Job())
        found.append(service._drawers[next(reversed(service._drawers))])
    assert found[0] is not found[1] and len(service._drawers) == 1


def test_what_is_installed_is_known():
    assert is_installed("landmarks") == (importlib.util.find_spec("mediapipe") is not None)


def test_one_order_that_fails_leaves_the_other_and_two_are_an_error(folder, tmp_path):
    service = service_in(tmp_path / "store", write_models(folder))
    source = Given(
        picture=picture_file(tmp_path / "photo.png"), mask=mask_file(tmp_path / "mask.png")
    )
    tiny, none = Order(network="tiny.safetensors"), Order(network="none")
    done, problem = service.compare(source, [tiny, none], Job())
    assert done.report["network"] == tiny.network
    assert isinstance(problem, InpaintError) and "there is no network 'none'" in str(problem)
    with pytest.raises(ConfigError, match="there is no network 'none'"):
        service.compare(source, [none, none], Job())
    (tmp_path / "photo.png").write_bytes(b"nothing")
    with pytest.raises(ImageError):
        service.compare(source, [tiny, none], Job())


def test_layers_that_a_network_does_not_take_are_told(tmp_path):
    models = Models()
    layers = {name: layer_file(tmp_path / f"{name}.png") for name in ("mask", "sketch", "color")}
    layers["semantic"] = layers["mask"]
    painting = Painting(picture=picture_file(tmp_path / "photo.png"), layers=layers)
    left = {name: painting.left(models.contract(name)) for name in models.names()}
    assert left == {
        "deepfillv2-photos": ["color", "semantic"],
        "scfegan-faces-small": ["semantic"],
        "spade-streets-small": ["sketch", "color"],
    }


def test_the_report_names_what_failed_first_and_is_html_whatever_a_file_is_called():
    tab = pytest.importorskip("gradio_demo.batch_tab", reason="Gradio is not installed")
    good = {"image": "a.png", "status": "done", "width": 3, "height": 2, "hole_percent": 1.5,
            "seconds": 0.1}  # fmt: skip
    bad = {"image": "<b>.png", "status": "failed", "error": "a <script>"}
    text = tab.table([good, bad], "ko")
    assert text.index("&lt;b&gt;.png") < text.index("a.png") and "<script>" not in text
    assert "<td>3 x 2</td><td>1.5</td><td>0.1</td>" in text and "그림" in text
    assert '<td colspan="3">a &lt;script&gt;</td>' in text
