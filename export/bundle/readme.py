"""What the README of a bundle says of its network, from the facts of the manifest."""

from typing import Any

from core.contract import Contract

from ..model_repository import Signature
from .texts import generator_table, pipeline_table

CARD = "MODEL_CARD.md"


def readme_values(
    facts: dict[str, Any], generator: Signature, pipeline: Signature
) -> dict[str, object]:
    """What the README's template has places for."""
    contract = Contract.from_dict(facts["contract"])
    guides = [slot.name for slot in pipeline.inputs if slot.name not in ("image", "mask")]
    files = [port.name for port in contract.guides if port.name in guides and port.kind != "vector"]
    card = facts["weights"]["card"]
    return {
        "title": facts["title"],
        "image": facts["name"],
        "architecture": facts["architecture"],
        "precision": facts["precision"],
        "parts": "".join(f", `generator.{p}.onnx`" for p in facts["parts"] if p != "run"),
        "engines": _engines(facts["engines"]),
        "card": f"`{card}`, " if card else "",
        "terms": _terms(facts["weights"], facts["licence"]),
        "guide_flags": "".join(f" --{name} {name}.png" for name in files),
        "guide_folders": "".join(f" --{name} {name}/" for name in files),
        "pipeline_table": pipeline_table(pipeline, contract),
        "generator_table": generator_table(generator, contract),
        "feed": "".join(f', "{name}": {name}' for name in guides),
        "sizes": _sizes(facts["settings"]["generator"].get("size"), contract),
        "opset": facts["opset"],
        **_triton(facts["triton"], facts["name"]),
    }


def _sizes(fixed: list[int] | None, contract: Contract) -> str:
    if fixed:
        return f"of {fixed[0]} x {fixed[1]} pixels alone"
    side = contract.native_size
    return f"height and width multiples of {contract.multiple_of}, at its best near {side} x {side}"


def _engines(engines: dict[str, Any]) -> str:
    if engines["built"]:
        return "TensorRT engines for one GPU, which the JSON beside each names; what builds others"
    return "what builds TensorRT engines on the GPU that they are to run on"


def _terms(weights: dict[str, Any], licence: dict[str, Any]) -> str:
    own = f"Licence of the weights: {licence['weights']}. " if licence["weights"] else ""
    code = f"{own}The code is under the Apache License 2.0 (`LICENSE`)."
    if not weights["card"]:
        return (
            "**No card came with the weights**: ask whoever trained them what they may be used "
            f"for. {code}"
        )
    first = (weights["use"] or f"see `{CARD}`.").split("\n\n")[0]
    return (
        f"**What the weights are for**, as `{CARD}` has it: {first}\n\n`{CARD}` says what they "
        f"were trained on and under which terms. {code}"
    )


def _triton(triton: dict[str, Any], name: str) -> dict[str, object]:
    schema, count = triton["validated_by"], triton["instances"]
    read = f"The configurations were read by Triton's own message definition ({schema})."
    if schema is None:
        read = "tritonclient was not installed, so nothing has read the configurations."
    place = {"cpu": "the CPU", "gpu": "each GPU"}[triton["device"]]
    return {
        "gpus": " --gpus all" if triton["device"] == "gpu" else "",
        "net": name,
        "pipeline": f"{name}_pipeline",
        "max_batch": triton["max_batch_size"],
        "where": f"{place}, {count} request{'s' if count > 1 else ''} at a time",
        "schema": read,
    }
