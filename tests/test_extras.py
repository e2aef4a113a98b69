"""Optional packages, missed with a sentence."""

import json

import pytest

from core.errors import BackendError
from core.extras import need


def write_package(folder, name, source, monkeypatch):
    """A real package on the path of modules."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(folder)


def test_a_package_that_is_there_comes_back():
    assert need("json") is json


def test_a_missing_package_says_what_to_install():
    with pytest.raises(BackendError) as caught:
        need("gatefill_missing.inner", "onnx", package="gatefill-missing-cu13")
    assert str(caught.value) == (
        "the package gatefill-missing-cu13 is not installed; get it by `pip install "
        "gatefill-missing-cu13` (with all that goes with it: the extra 'onnx' of pyproject.toml)"
    )


def test_the_extra_and_the_package_are_called_as_the_module_unless_said():
    with pytest.raises(BackendError, match=r"pip install gatefill_missing`.*'gatefill_missing'"):
        need("gatefill_missing")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import gatefill_inner", "No module named 'gatefill_inner'"),
        ("raise OSError('libcudart.so.13: cannot open')", "libcudart.so.13: cannot open"),
    ],
)
def test_a_package_that_does_not_load_says_why(source, reason, tmp_path, monkeypatch):
    write_package(tmp_path, "gatefill_broken", source, monkeypatch)
    with pytest.raises(BackendError, match="is installed but does not load") as caught:
        need("gatefill_broken")
    assert f"({reason})" in str(caught.value)


def test_other_errors_of_a_package_are_not_hidden(tmp_path, monkeypatch):
    write_package(tmp_path, "gatefill_wrong", "1 / 0", monkeypatch)
    with pytest.raises(ZeroDivisionError):
        need("gatefill_wrong")
