"""The flags of the demo."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import ConfigError
from gradio_demo.store import Limits

LIMITS = Limits()
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def flag(default: Any, text: str) -> Any:
    """A field with the help of its flag."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the page is served, and what may be asked of it."""

    host: str = flag(
        "127.0.0.1", "address to listen at; 0.0.0.0 = everybody who reaches this machine"
    )
    port: int = flag(7860, "where to listen")
    names: str = flag(
        "", "hosts, with commas between, by which others reach it, as that of a proxy"
    )
    auth: str = flag("", "USER:PASSWORD that visitors need")
    share: bool = flag(False, "a public address by way of Gradio's servers")
    models: Path | None = flag(None, "folder of your own networks, beside the bundled ones")
    weights: Path | None = flag(None, "network that is chosen at first (default: the bundled one "
                                "for photographs)")  # fmt: skip
    backend: Literal["auto", "torch", "onnxruntime", "openvino", "tensorrt"] = flag(
        "auto", "what runs networks unless a visitor chooses another"
    )
    device: str = flag("", "of that backend, as `python -m core fill` takes it (default: the best)")
    max_pixels: int = flag(LIMITS.pixels, "of one picture")
    max_bytes: int = flag(LIMITS.bytes, "of one file")
    queue: int = flag(32, "how many requests may wait")
    workers: int = flag(2, "how many are worked on at once, taking turns at the device")
    keep: int = flag(14400, "seconds for which files are kept that nobody uses")

    def __post_init__(self) -> None:
        for name, least in (
            ("max_pixels", 1), ("max_bytes", 1), ("queue", 1), ("workers", 1), ("keep", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                flag_name = name.replace("_", "-")
                raise ConfigError(
                    f"--{flag_name} is {getattr(self, name)}; it must be at least {least}"
                )
        if not self.host.strip():
            raise ConfigError("--host is empty; name an address, or leave it out")
        if not 0 < self.port < 65536:
            raise ConfigError(f"--port is {self.port}; it must be from 1 to 65535")
        if self.auth and not all(self.credentials or ("",)):
            raise ConfigError("--auth must be USER:PASSWORD, with something on both sides")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, if visitors need any."""
        user, _, password = self.auth.partition(":")
        return (user, password) if self.auth else None

    @property
    def is_open(self) -> bool:
        """Whether others than this machine may come without a password."""
        return not self.auth and (self.share or self.host not in LOOPBACK)

    @property
    def hosts(self) -> frozenset[str] | None:
        """By which the page may be asked for; None = by any."""
        named = {name.strip().lower() for name in self.names.split(",") if name.strip()}
        if self.share or (self.host not in LOOPBACK and not named):
            return None
        return frozenset({*LOOPBACK, self.host.lower(), *named})

    @property
    def url(self) -> str:
        """Where the page is, for this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
