"""Every network is trained by its preset as its paper has it: it learns, and it resumes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import smooth
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import default_collate

from core.config import PRESETS
from core.errors import ConfigError
from core.registry import build_generator
from core.weights import load_weights, save_weights
from trainer.__main__ import main
from trainer.build import build_callables, build_state, check_norm
from trainer.config import TrainConfig
from trainer.data.samples import Samples, find_pictures, to_batch
from trainer.loop import train
from trainer.ranks import ALONE
from trainer.recipes import recipe
from trainer.step import train_step

CPU = torch.device("cpu")
NETWORKS = ("pconv-tiny", "scfegan-tiny", "spade-tiny")


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> Path:
    """Pictures with maps of four labels, each of a colour of its own."""
    folder = tmp_path_factory.mktemp("streets")
    for seed in range(4):
        picture = np.asarray(smooth(seed, (70, 90))).copy()
        labels = np.zeros((70, 90), np.uint8)
        labels[35:] = 3
        labels[10:60, 20 + 5 * seed : 50] = 8
        picture[labels == 3] //= 2
        picture[labels == 8] = (200, 60, 30)
        Image.fromarray(picture).save(folder / f"{seed}.png")
        Image.fromarray(labels).save(folder / f"{seed}.seg.png")
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.safetensors"
    torch.manual_seed(0)
    tensors = {"conv1.weight": torch.randn(4, 3, 3, 3), "conv1.bias": torch.zeros(4)}
    tensors |= {"conv2.weight": torch.randn(6, 4, 3, 3), "conv2.bias": torch.zeros(6)}
    save_file(tensors, path)
    return path


def settings(preset: str, data: Path, out: Path, **changes) -> TrainConfig:
    common = {
        "data": (str(data),),
        "out": out,
        "preset": preset,
        "steps": 4,
        "batch": 2,
        "crop": 64,
        "workers": 0,
        "log_every": 1,
        "sample_every": 2,
        "save_every": 2,
        "report": False,
        "device": "cpu",
        "sketch_share": 0.0,
        "d_width": 8,
    }
    return TrainConfig(**(recipe(preset) | common | changes))


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    newest = sorted((run / "checkpoints").glob("*.pt"))[-1]
    state = torch.load(newest, weights_only=True)
    found = {}
    for part in ("generator", "discriminator", "average"):
        found |= {f"{part}/{name}": x for name, x in state[part].items()}
    for part in ("g_optimizer", "d_optimizer"):
        for number, moments in state[part]["state"].items():
            found |= {f"{part}/{number}/{name}": x for name, x in moments.items()}
    return found


@pytest.mark.parametrize("preset", NETWORKS)
def test_a_resumed_run_is_bit_for_bit_the_unbroken_one(preset, streets, features, tmp_path):
    whole = settings(preset, streets, tmp_path / "whole", perceptual=features)
    train(whole)
    broken = replace(whole, out=tmp_path / "broken")
    train(replace(broken, steps=1, save_every=1))
    train(replace(broken, steps=3, save_every=1), resume=True)
    train(broken, resume=True)
    expected, found = tensors_of(whole.out), tensors_of(broken.out)
    assert expected.keys() == found.keys() and len(found) > 100
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    loaded = load_weights(whole.out / "weights.safetensors")
    assert loaded.config == replace(PRESETS[preset], native_size=64)  # the size that it has seen
    assert len(list((whole.out / "samples").iterdir())) == 2


TERMS = {
    "pconv-tiny": {"l1_refined", "perceptual", "style", "tv", "g"},
    "scfegan-tiny": {"l1_refined", "perceptual", "style", "tv", "g"}
    | {"d", "penalty", "drift", "g_adversarial"},
    "spade-tiny": {"l1_refined", "perceptual", "kl", "g", "d", "g_adversarial", "matching"},
}


@pytest.mark.parametrize("preset", NETWORKS)
def test_every_term_of_the_paper_is_there(preset, streets, features, tmp_path):
    train(settings(preset, streets, tmp_path / "run", steps=1, perceptual=features))
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert line.keys() - {"step", "seconds", "images_per_second", "lr"} == TERMS[preset]


@pytest.mark.parametrize("preset", NETWORKS)
def test_one_picture_is_learnt_by_heart(preset, streets, tmp_path):
    """In full: adversarial terms and all; the L1 in the hole falls to a fraction."""
    folder = tmp_path / "one"
    folder.mkdir()
    for suffix in ("png", "seg.png"):
        (folder / f"0.{suffix}").write_bytes((streets / f"0.{suffix}").read_bytes())
    rates = {"lr": 3e-3, "beta1": 0.5, "d_lr": 2e-4, "l1_weight": 50.0, "holes": ("box",)}
    config = settings(preset, folder, tmp_path / "run", zoom=1.0, color_share=0.0, **rates)
    state = build_state(config, CPU)
    run = build_callables(state, config, CPU)
    samples = Samples(find_pictures(config.data), config)
    batch = to_batch(default_collate([samples[0]] * 2), samples.contract)
    losses = [float(train_step(state, run, [batch], config)["l1_refined"]) for _ in range(80)]
    assert np.mean(losses[-5:]) < 0.2 * losses[0], losses


@pytest.mark.parametrize("preset", ["scfegan-tiny", "spade-tiny"])
def test_micro_batches_make_the_update_of_the_whole_batch(preset, streets, tmp_path):
    """But for batch normalisation, hence instance normalisation for SPADE."""
    network = PRESETS[preset]
    network = replace(network, norm="instance") if hasattr(network, "norm") else network
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    save_weights(start, build_generator(network))
    config = settings(preset, streets, tmp_path / "run", init=start, batch=4)
    samples = Samples(find_pictures(config.data), config)
    parts = [default_collate([samples[k] for k in ks]) for ks in ((0, 1, 2, 3), (0, 1), (2, 3))]
    whole, *halves = (to_batch(part, samples.contract) for part in parts)
    found = []
    for batches in ([whole], halves):
        state = build_state(config, CPU)
        run = build_callables(state, config, CPU)
        for _ in range(2):
            losses = train_step(state, run, batches, config)
        found.append({name: float(value) for name, value in losses.items()})
    assert found[1] == pytest.approx(found[0], rel=2e-3, abs=1e-4)


def test_a_recipe_is_where_the_flags_default_to(capsys, tmp_path):
    assert main(["--preset", "scfegan", "--data", "x", "--out", "y", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["gan"] == "linear" and shown["hole_weight"] == 6.0
    assert main(["--preset", "spade", "--data", "x", "--out", "y", "-n", "--lr", "0.5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["lr"] == 0.5 and shown["d_lr"] == 4e-4 and shown["beta1"] == 0.0
    start = tmp_path / "start.safetensors"
    save_weights(start, build_generator(PRESETS["pconv-tiny"]))
    assert main(["--init", str(start), "--data", "x", "--out", "y", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["l1"] == "weighted"
    with pytest.raises(SystemExit):
        main(["--preset", "pconv", "--help"])
    assert "(default: 120.0)" in capsys.readouterr().out


def test_without_a_feature_network_its_terms_are_off_and_that_is_said(streets, tmp_path, capsys):
    train(settings("pconv-tiny", streets, tmp_path / "run", steps=1))
    assert "no --perceptual network, so no perceptual and no style term" in capsys.readouterr().err
    assert "style" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_fine_tuning_leaves_the_encoders_normalisation_alone(streets, tmp_path):
    config = settings("pconv-tiny", streets, tmp_path / "run", steps=2, freeze_norm=True)
    before = build_state(config, CPU).generator.state_dict()
    train(config)
    after = torch.load(tmp_path / "run/checkpoints/000000002.pt", weights_only=True)["generator"]
    norms = [name for name in before if ".bn." in name and "num_batches" not in name]
    for name in norms:
        assert torch.equal(before[name], after[name]) == name.startswith("enc_"), name
    with pytest.raises(ConfigError, match="leave --freeze-norm out"):
        train(replace(config, preset="scfegan-tiny", out=tmp_path / "other"))


def test_a_crop_must_suit_the_network(streets, tmp_path):
    with pytest.raises(ConfigError, match="--crop is 72; this network needs a multiple of 32"):
        train(settings("scfegan-tiny", streets, tmp_path / "run", crop=72))


def test_one_picture_at_a_time_is_too_little_for_batch_normalisation(streets, tmp_path):
    config = settings("pconv", streets, tmp_path / "run", width=2, crop=128, batch=1)
    generator = build_state(config, CPU).generator
    with pytest.raises(ConfigError, match="use a larger --batch or --crop 256"):
        check_norm(generator, config, ALONE)
    for enough in ({"batch": 2}, {"crop": 256}):
        check_norm(generator, replace(config, **enough), ALONE)


def test_a_map_is_needed_beside_every_picture(streets, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("0.png", "0.seg.png", "1.png"):
        (folder / name).write_bytes((streets / name).read_bytes())
    with pytest.raises(ConfigError, match=r"1 of 2 pictures have no label map.*1\.png.*seg"):
        train(settings("spade-tiny", folder, tmp_path / "run"))


def test_a_label_that_the_network_does_not_know_is_named_with_its_picture(streets, tmp_path):
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "a.png").write_bytes((streets / "0.png").read_bytes())
    Image.fromarray(np.full((70, 90), 42, np.uint8)).save(folder / "a.seg.png")
    with pytest.raises(ConfigError, match=r"a\.png.*label 42.*0 to 11 \(0 sky, 1 building"):
        train(settings("spade-tiny", folder, tmp_path / "run"))


def test_the_noise_of_a_sample_is_its_own_and_has_the_density_of_the_demo(streets, tmp_path):
    config = settings("scfegan-tiny", streets, tmp_path / "run", crop=256)
    samples = Samples(find_pictures(config.data), config)
    one, again, other = (samples[k]["noise"] for k in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.float().mean().item() == pytest.approx(0.159, abs=0.01)


def test_a_whole_hole_is_for_training_by_maps(streets, tmp_path):
    config = settings("spade-tiny", streets, tmp_path / "run", holes=("whole",))
    assert (Samples(find_pictures(config.data), config)[0]["mask"] == 1).all()
    with pytest.raises(ConfigError, match="no kind is called 'whole'"):
        replace(config, holes=("whole+brush",))


def test_own_labels_come_from_a_palette_file(streets, tmp_path):
    palette = tmp_path / "own.json"
    palette.write_text(json.dumps({"grass": "#00ff00", "wall": "#804020"}))
    own = settings("spade-tiny", streets, tmp_path / "run", palette=palette, unknown=True)
    network = own.network()
    assert network.labels == ("grass", "wall") and network.palette == ("#00ff00", "#804020")
    assert network.unknown and not network.instance_edges
    with pytest.raises(ConfigError, match="--palette does nothing with --preset pconv-tiny"):
        replace(own, preset="pconv-tiny")
    with pytest.raises(ConfigError, match="--instances does nothing with --init"):
        replace(own, palette=None, unknown=False, instances=True, init=tmp_path / "w.safetensors")


def test_things_of_a_side_file_have_edges_and_unknown_pixels_a_channel(streets, tmp_path):
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "a.png").write_bytes((streets / "0.png").read_bytes())
    labels = np.full((70, 90), 3, np.uint8)
    labels[:20] = 255
    things = np.zeros((70, 90), np.uint16)
    things[:, 45:] = 26001
    Image.fromarray(labels).save(folder / "a.seg.png")
    Image.fromarray(things).save(folder / "a.instances.png")
    config = settings(
        "spade-tiny", folder, tmp_path / "run", unknown=True, instances=True, zoom=0.5, seed=3
    )
    samples = Samples(find_pictures(config.data), config)
    batch = to_batch(default_collate([samples[k] for k in range(4)]), samples.contract)
    semantic, edges = batch.guides["semantic"], batch.guides["instances"]
    assert semantic.shape[1] == 13 and (semantic.sum(dim=1) == 1).all()
    assert semantic[:, 12, 0].any() and not semantic[:, :3].any()
    columns = edges.sum(dim=2)[:, 0]
    assert ((columns == 64).sum(dim=1) == 2).any()  # two pixels wide, from top to bottom
    assert set(columns.unique().tolist()) == {0.0, 64.0}


@pytest.mark.parametrize("preset", ["deepfillv2-tiny", "scfegan-tiny"])
def test_a_network_of_bgr_learns_from_bgr_what_another_learns_from_rgb(
    preset, streets, features, tmp_path
):
    """Fine-tuning of released weights: pictures, strokes and features come in their order."""
    ends = []
    for order in ("rgb", "bgr"):
        torch.manual_seed(5)
        network = build_generator(replace(PRESETS[preset], order=order))
        if order == "bgr":
            turn_channels(network)
        start = tmp_path / f"{order}.safetensors"
        save_weights(start, network)
        config = settings(
            preset, streets, tmp_path / order, init=start, steps=1, gan_weight=0.0,
            perceptual=features, perceptual_weight=1.0, color_share=1.0, ema=0.0,
        )  # fmt: skip
        train(config)
        ends.append(load_weights(config.out / "weights.safetensors"))
        lines = (config.out / "metrics.jsonl").read_text()
        ends[-1].first = json.loads(lines.splitlines()[0])["perceptual"]
    assert ends[0].first == pytest.approx(ends[1].first, rel=1e-5)
    turn_channels(ends[1])
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is all but 0, anything goes.
        assert ((one - other).abs() < 1e-5).float().mean() > 0.99


def turn_channels(network: torch.nn.Module) -> None:
    """Swap red and blue where pictures and colours enter and leave."""
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for layer in convolutions:
            weight = layer.weight
            if weight.shape[1] in (3, 6, 9, 12) and layer.kernel_size[0] > 1:
                swap(weight, 1, 0)
            if weight.shape[1] in (9, 12):  # SC-FEGAN: colours are the fifth to seventh channel
                swap(weight, 1, 4)
            if weight.shape[1] == 12:  # and what comes from below is a picture, too
                swap(weight, 1, 9)
            if weight.shape[0] == 3:
                swap(weight, 0, 0)
                swap(layer.bias, 0, 0)
        for layer in network.modules():
            if isinstance(layer, torch.nn.ConvTranspose2d) and layer.weight.shape[1] == 3:
                swap(layer.weight, 1, 0)
                swap(layer.bias, 0, 0)


def swap(x: torch.Tensor, axis: int, first: int) -> None:
    order = list(range(x.shape[axis]))
    order[first], order[first + 2] = order[first + 2], order[first]
    x.copy_(x.index_select(axis, torch.tensor(order)))
