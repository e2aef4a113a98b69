"""How the numbers of a run are read: a sentence for every curve, and what stands out."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from core.contract import Contract

from .curves import Curve
from .history import History

FALLS = (
    "It falls quickly at first, then slowly for days; that it is noisy is the luck of masks and "
    "pictures."
)
L1 = (
    "Mean absolute difference to the true picture. Pictures count from {low:g} to {high:g}, a "
    "range of {range:g}, so {factor:g} times the value is per cent. " + FALLS
)
L1_PARTS = {
    "weighted": "Mean absolute difference to the true picture, a pixel of the hole counting "
    "{hole:g} times and a known one {known:g} times: lower is better, but it is no percentage. "
    + FALLS,
    "areas": "Mean absolute difference to the true picture, over the hole and over the known area, "
    "added up with the weights {hole:g} and {known:g}: lower is better, but it is no percentage. "
    + FALLS,
}
"""Where parts of the picture weigh differently: by the setting l1."""
D = {
    "hinge": "Hinge loss, half of mean relu(1 - score of true) + mean relu(1 + score of "
    "completed). 1 = the discriminator cannot tell them apart (equal scores from -1 to 1 give 1), "
    "0 = it always can. Between 0.5 and 1 is healthy, and near 1 is what a good generator brings "
    "about; at 0 for long it teaches nothing any more.",
    "linear": "Mean of 1 - score of true + mean of 1 + score of completed. 2 = the discriminator "
    "cannot tell them apart, where it begins; the further below, the further the scores lie apart. "
    "There is no hinge, so below 0 is healthy too: what keeps it in bounds is the gradient "
    "penalty. It should not fall on and on.",
    "multiscale": "Hinge loss, mean relu(1 - score of true) + mean relu(1 + score of completed), "
    "mean over the scales. 2 = the discriminator cannot tell them apart, where it begins (equal "
    "scores from -1 to 1 give 2), 0 = it always can. Between 1 and 2 is healthy; at 0 for long "
    "only the matched features still teach the generator.",
}
"""By the setting gan."""
CANNOT_TELL = {"hinge": 1.0, "linear": 2.0, "multiscale": 2.0}
"""d where all scores are 0."""
G_ADVERSARIAL = (
    "Minus the mean score of completed pictures. Negative is normal: the score is above 0, so the "
    "discriminator takes them for true. It is a game, not a distance, and need not fall; the "
    "scores of true and completed pictures drift together."
)
PENALTY = (
    "Mean of (length of the score's gradient inside the hole - 1) squared: near 1 with a fresh "
    "discriminator, whose score hardly changes, and near 0 when it is as steep as it should be. "
    "If it climbs, the score is too steep: lower --d-lr or raise --penalty-weight."
)
DRIFT = (
    "Mean square of the scores of true pictures, with a small weight so that they do not drift "
    "away. It may stand anywhere; if it grows without end, raise --drift-weight."
)
MATCHING = (
    "Mean absolute difference of the discriminator's activations between true and completed "
    "pictures, added up over layers, mean over scales. The measure learns too: it rises when the "
    "discriminator finds a new difference and falls when the generator follows."
)
KL = (
    "How far the styles of true pictures are from N(0, 1), added up over numbers and pictures of a "
    "micro-batch. Near 0 the style says nothing of the picture; the higher, the less do styles "
    "drawn by seed resemble those that the network has learnt. --kl-weight sets the balance."
)
TV = (
    "Mean absolute difference of neighbouring pixels in the hole and one pixel round it, over the "
    "size of the picture, so that larger holes have more. It falls as noise and seams vanish, to "
    "that of real pictures; fills that are flat lie below."
)
PERCEPTUAL = (
    "Mean absolute difference of features to those of the true picture{of}. It should fall."
)
STYLE = (
    "Mean absolute difference of the features' Gram matrices{of}. It should fall, with large leaps."
)
BOTH = ", of the output and of the completed picture together"
TOTAL = (
    "What the generator minimises, all terms with their weights. It jumps when the discriminator "
    "joins; read its parts instead."
)
SPEED = (
    "Pictures per second, of all processes together. A drop that stays is a slow disk, a busy "
    "machine or heat."
)
RATE = "Learning rate of the generator; that of the discriminator keeps its share of it."
OTHER = "A number of this run without a reading of its own here."
NEVER_WRONG, ALWAYS_EQUAL = 0.05, 1e-4
"""d below the first, as a share of `CANNOT_TELL`: the discriminator always wins. Off that by less
than the second: it is idle."""


def curves_of(
    history: History, config: Mapping[str, Any], contract: Contract | None = None
) -> list[Curve]:
    """A figure for every measurement of the history; what is unknown here gets one too.

    contract: that of the network, where it is known; otherwise pictures count from -1 to 1.
    """
    game = _game(config)
    of = BOTH if config.get("features_of") == "both" else ""
    chance, zero = {CANNOT_TELL[game]: "cannot tell"}, {0.0: "zero"}
    known = [
        _l1_curve(history, config, contract),
        Curve(title="Perceptual term", names=("perceptual",), reading=PERCEPTUAL.format(of=of)),
        Curve(title="Style term", names=("style",), reading=STYLE.format(of=of)),
        Curve(title="Total variation", names=("tv",), reading=TV),
        Curve(title="Discriminator", names=("d",), reading=D[game], levels=chance),
        Curve(
            title="Generator, adversarial",
            names=("g_adversarial",),
            reading=G_ADVERSARIAL,
            levels=zero,
        ),
        Curve(title="Matched features", names=("matching",), reading=MATCHING),
        Curve(title="Gradient penalty", names=("penalty",), reading=PENALTY),
        Curve(title="Drift of the scores", names=("drift",), reading=DRIFT),
        Curve(title="Divergence of the styles", names=("kl",), reading=KL),
        Curve(title="Generator, in all", names=("g",), reading=TOTAL),
        Curve(title="Learning rate", names=("lr",), reading=RATE),
        Curve(title="Speed", names=("images_per_second",), reading=SPEED),
    ]
    shown = {name for curve in known for name in curve.names}
    rest = [name for name in history.names if name not in shown]
    known += [Curve(title=name, names=(name,), reading=OTHER) for name in rest]
    return [curve for curve in known if set(curve.names) & set(history.names)]


def _l1_curve(history: History, config: Mapping[str, Any], contract: Contract | None) -> Curve:
    """That of the one stage, or of both."""
    both = "l1_coarse" in history.names
    names = ("l1_refined", "l1_coarse") if both else ("l1_refined",)
    title = "L1 of both stages" if both else "L1"
    if words := L1_PARTS.get(config.get("l1", "")):
        hole, known = config.get("hole_weight", 1.0), config.get("known_weight", 0.3)
        return Curve(title=title, names=names, reading=words.format(hole=hole, known=known))
    low, high = (contract.output.low, contract.output.high) if contract else (-1.0, 1.0)
    factor = 100 / (high - low)
    words = L1.format(low=low, high=high, range=high - low, factor=factor)
    return Curve(title=title, names=names, reading=words, percent=factor)


def _game(config: Mapping[str, Any]) -> str:
    """The adversarial game of the run; older runs had but one."""
    game = str(config.get("gan", "hinge"))
    return game if game in D else "hinge"


def remarks(history: History, config: Mapping[str, Any]) -> list[str]:
    """What stands out in this run, each with what to do about it; empty if nothing does."""
    found = []
    broken = [name for name in history.names if _unfinite(history, name)]
    if broken:
        found.append(
            f"{', '.join(broken)} had values that are no numbers. Go on from the last checkpoint "
            "by --resume --rollback, or start anew with a lower --lr or with --clip."
        )
    _, d = history.values("d")
    lately = [value for value in d[-max(len(d) // 5, 5) :] if math.isfinite(value)]
    game = _game(config)
    chance = CANNOT_TELL[game]
    if game != "linear" and len(lately) >= 5 and median(lately) < NEVER_WRONG * chance:
        found.append(
            f"The discriminator has always won lately (d = {median(lately):.2g}): the generator "
            "learns nothing from it. Lower --d-lr or --gan-weight, or start it later (--gan-start)."
        )
    if len(lately) >= 5 and all(abs(value - chance) < ALWAYS_EQUAL for value in lately):
        found.append(
            f"The discriminator scores everything alike (d = {chance:g} to four digits): it has "
            "learnt nothing yet. That is normal in its first few hundred steps; later, raise "
            "--d-lr."
        )
    if int(config.get("batch", 16)) < 8 and config.get("gan_weight", 1.0):
        found.append(
            f"The batch is {config['batch']}; with a discriminator the authors advise 16 or more. "
            "--accumulate and more processes make it larger in the same memory."
        )
    return found


def _unfinite(history: History, name: str) -> bool:
    _, values = history.values(name)
    return any(not math.isfinite(value) for value in values)
