"""How far a fill is, and that it can be ended within a pass, whatever runs it."""

import threading

import pytest
import torch
from exports import tiny

from core.backends import open_backend
from core.backends.eager import TorchBackend
from core.errors import BackendError
from core.pipeline import FillOptions, Inpainter
from core.progress import Meter, current_check, interruptible, wait_for


class Stopped(BaseException):
    """What a front end raises; no `Exception`, so that nothing takes it for an error."""


def stop_after(calls: int):
    """A check that lets so many calls pass, and how often it was called."""
    count = [0]

    def check() -> None:
        count[0] += 1
        if count[0] > calls:
            raise Stopped

    return check, count


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    return TorchBackend(tiny("deepfillv2-tiny"))


def two_holes(n: int = 1, side: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.zeros(n, 1, side, side)
    mask[..., 20:60, 20:60] = 1
    mask[..., 500:590, 480:590] = 1
    return torch.rand(n, 3, side, side), mask


def test_a_pass_counts_by_its_pixels():
    told: list[float] = []
    meter = Meter([(10, 10), (10, 30)], told.append)
    meter.passed()
    meter.passed()
    assert told == [pytest.approx(0.25), 1.0]


@pytest.mark.parametrize("strategy", ["crop", "single", "full"])
def test_progress_rises_to_one_over_all_pictures_and_passes(backend, strategy):
    image, mask = two_holes(2)
    mask[1] = 0
    mask[1, :, 10:20, 10:20] = 1
    told: list[float] = []
    Inpainter(backend, FillOptions(strategy=strategy, work_size=256), told.append)(image, mask)
    passes = {"crop": 3, "single": 2, "full": 2}[strategy]
    assert len(told) >= passes
    assert told == sorted(set(told)) and told[-1] == 1.0 and told[0] < 1.0


def test_nothing_is_told_where_nothing_is_to_do(backend):
    told: list[float] = []
    image, mask = two_holes()
    assert torch.equal(Inpainter(backend, progress=told.append)(image, 0 * mask), image)
    assert told == []


@pytest.mark.parametrize("strategy", ["crop", "single"])
def test_a_fill_is_ended_within_a_pass_of_pytorch(backend, strategy):
    image, mask = two_holes()
    told: list[float] = []
    check, count = stop_after(100)
    inpainter = Inpainter(backend, FillOptions(strategy=strategy), told.append)
    with pytest.raises(Stopped), interruptible(check):
        inpainter(image, mask)
    assert count[0] == 101 and told == []
    before = count[0]
    torch.ones(3).sum()  # nobody asks any more
    assert count[0] == before and current_check() is None
    inpainter(image, mask)
    assert told[-1] == 1.0


def test_a_check_that_raises_nothing_changes_nothing(backend):
    image, mask = two_holes()
    plain = Inpainter(backend)(image, mask)
    check, count = stop_after(10**9)
    with interruptible(check):
        watched = Inpainter(backend)(image, mask)
    assert torch.equal(plain, watched) and count[0] > 100


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_is_ended_while_it_runs(exported, runtime, monkeypatch):
    pytest.importorskip(runtime)
    ends = []

    def noting(run, cancel) -> None:
        def noted() -> None:
            try:
                run()
                ends.append("whole")
            except Exception:
                ends.append("cut short")
                raise

        wait_for(noted, cancel)

    module = {"onnxruntime": "ort", "openvino": "ov"}[runtime]
    monkeypatch.setattr(f"core.backends.{module}.wait_for", noting)
    backend = open_backend(exported("deepfillv2-tiny"), "cpu", runtime)
    image, mask = torch.rand(1, 3, 512, 768), torch.zeros(1, 1, 512, 768)
    mask[..., 100:400, 100:600] = 1
    inputs = (image * 2 - 1, mask, torch.zeros_like(mask))
    whole = backend.run(*inputs)
    threads = threading.active_count()

    def check() -> None:
        if threading.active_count() > threads:  # only once the graph is running
            raise Stopped

    with interruptible(check), pytest.raises(Stopped):
        backend.run(*inputs)
    assert ends == ["whole", "cut short"] and threading.active_count() == threads
    torch.testing.assert_close(backend.run(*inputs), whole)


def test_an_error_in_a_graph_comes_out_as_without_a_check(exported):
    pytest.importorskip("onnxruntime")
    backend = open_backend(exported("deepfillv2-tiny"), "cpu", "onnxruntime")
    inputs = (torch.rand(1, 3, 20, 24), torch.rand(1, 1, 20, 24), torch.rand(1, 1, 20, 24))
    with interruptible(lambda: None), pytest.raises(BackendError, match="does not run on"):
        backend.run(*inputs)


def test_waiting_cancels_and_lets_the_work_end_before_it_raises():
    cancelled, ended = threading.Event(), []

    def work() -> None:
        cancelled.wait(10)
        ended.append(True)

    check, _ = stop_after(1)
    with pytest.raises(Stopped), interruptible(check):
        wait_for(work, cancelled.set)
    assert ended == [True]


def test_without_anybody_to_ask_no_thread_is_made():
    threads = []
    wait_for(lambda: threads.append(threading.current_thread()), lambda: None)
    assert threads == [threading.current_thread()]


def test_colours_and_seam_can_be_left_as_the_network_makes_them(backend):
    """A network that answers a grey everywhere errs by the picture's own colour."""

    class Grey(TorchBackend):
        def run(self, *inputs):
            return torch.zeros_like(inputs[0])

    grey = Grey(backend.generator)
    image, mask = torch.full((1, 3, 64, 64), 0.8), torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 20:44] = 1
    for strategy in ("full", "single"):
        raw = Inpainter(grey, FillOptions(strategy=strategy, color_match=False, seam=0))
        assert raw(image, mask)[0, 0, 32, 32] == pytest.approx(0.5, abs=1e-5)
        seam = Inpainter(grey, FillOptions(strategy=strategy, color_match=False, seam=8))
        seamed = seam(image, mask)[0, 0]
        assert seamed[32, 32] == pytest.approx(0.5, abs=1e-5) and seamed[32, 20] > 0.7
        matched = Inpainter(grey, FillOptions(strategy=strategy, seam=0))(image, mask)
        assert matched[0, 0, 32, 32] == pytest.approx(0.8, abs=1e-4)
