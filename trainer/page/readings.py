"""How the numbers of a run are read: a sentence for every curve, and what stands out."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from .curves import Curve
from .history import History

L1 = (
    "Mean absolute difference to the true picture. Pictures count from -1 to 1, a range of 2, so "
    "50 times the value is per cent. It falls quickly at first, then slowly for days; that it is "
    "noisy is the luck of masks and pictures."
)
L1_AREAS = (
    "Mean absolute difference to the true picture, over the hole and over the known area, added up "
    "with the weights {hole:g} and {known:g}: lower is better, but it is no percentage. It falls "
    "quickly at first, then slowly for days."
)
D = (
    "Hinge loss, half of mean relu(1 - score of true) + mean relu(1 + score of completed). 1 = the "
    "discriminator cannot tell them apart (equal scores from -1 to 1 give 1), 0 = it always can. "
    "Between 0.5 and 1 is healthy, and near 1 is what a good generator brings about; at 0 for "
    "long it teaches nothing any more."
)
G_ADVERSARIAL = (
    "Minus the mean score of completed pictures. Negative is normal: the score is above 0, so the "
    "discriminator takes them for true. It is a game, not a distance, and need not fall; the "
    "scores of true and completed pictures drift together."
)
PERCEPTUAL = "Mean absolute difference of features to those of the true picture. It should fall."
TOTAL = (
    "What the generator minimises, all terms with their weights. It jumps when the discriminator "
    "joins; read its parts instead."
)
SPEED = (
    "Pictures per second, of all processes together. A drop that stays is a slow disk, a busy "
    "machine or heat."
)
STYLE = "Mean absolute difference of the features' Gram matrices. It should fall, with large leaps."
RATE = "Learning rate of the generator; that of the discriminator keeps its share of it."
OTHER = "A number of this run without a reading of its own here."
NEVER_WRONG, ALWAYS_EQUAL = 0.05, 1e-4
"""d below the first: the discriminator always wins. Off 1 by less than the second: it is idle."""


def curves_of(history: History, config: Mapping[str, Any]) -> list[Curve]:
    """A figure for every measurement of the history; what is unknown here gets one too."""
    areas = config.get("l1") == "areas"
    weights = {"hole": config.get("hole_weight", 1.0), "known": config.get("known_weight", 0.3)}
    chance, zero = {1.0: "cannot tell"}, {0.0: "zero"}
    known = [
        Curve(
            title="L1 of both stages",
            names=("l1_refined", "l1_coarse"),
            reading=L1_AREAS.format(**weights) if areas else L1,
            percent=not areas,
        ),
        Curve(title="Perceptual term", names=("perceptual",), reading=PERCEPTUAL),
        Curve(title="Style term", names=("style",), reading=STYLE),
        Curve(title="Discriminator", names=("d",), reading=D, levels=chance),
        Curve(
            title="Generator, adversarial",
            names=("g_adversarial",),
            reading=G_ADVERSARIAL,
            levels=zero,
        ),
        Curve(title="Generator, in all", names=("g",), reading=TOTAL),
        Curve(title="Learning rate", names=("lr",), reading=RATE),
        Curve(title="Speed", names=("images_per_second",), reading=SPEED),
    ]
    shown = {name for curve in known for name in curve.names}
    rest = [name for name in history.names if name not in shown]
    known += [Curve(title=name, names=(name,), reading=OTHER) for name in rest]
    return [curve for curve in known if set(curve.names) & set(history.names)]


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
    if len(lately) >= 5 and median(lately) < NEVER_WRONG:
        found.append(
            f"The discriminator has always won lately (d = {median(lately):.2g}): the generator "
            "learns nothing from it. Lower --d-lr or --gan-weight, or start it later (--gan-start)."
        )
    if len(lately) >= 5 and all(abs(value - 1) < ALWAYS_EQUAL for value in lately):
        found.append(
            "The discriminator scores everything alike (d = 1 to four digits): it has learnt "
            "nothing yet. That is normal in its first few hundred steps; later, raise --d-lr."
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
