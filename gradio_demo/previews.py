"""Pictures that browsers cannot show, as TIFF, made into PNG files that they can; to look at only.

What is filled and downloaded is always the file itself.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import ConfigError, FormatError, InpaintError
from core.image.preview import write_preview
from gradio_demo.running import give_back
from gradio_demo.store import Store

SHOWN = ("PNG", "JPEG", "WEBP", "BMP")
"""Formats that every browser shows."""
FOLDER = "previews"
MOST_WAITING = 8
"""Previews that are being made or wait for it; they are made one after the other."""


class Previews:
    """The previews of a store's files, each made once and kept as long as its files are."""

    def __init__(self, store: Store):
        self.store, self._waiting, self._lock = store, 0, threading.Lock()
        # Not one of those that fill: a picture is to be seen while others take minutes.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gatefill-preview")

    def of(self, value: object) -> Path:
        """The PNG of a file that a client names; waits until it is made.

        Raises ConfigError for anything but a file of the store, ImageError for one that is no
        picture or too large, and ConfigError where too many wait already.
        """
        source = self.store.uploaded(value, "the picture")
        with self._place():
            made: Future[Path] = self._pool.submit(self._made, source)
            return made.result()

    def shown(self, path: Path) -> Path:
        """A file for browsers to show: the picture's own, or where they cannot, its preview."""
        return path if self.store.picture(path).form in SHOWN else self.of(str(path))

    def function(self) -> Callable[[Any], dict[str, Any]]:
        """What the editor's script calls with the path of a file: `preview`.

        It answers {"path"}, or {"error", "picture"}: a sentence, and whether it is a picture at
        all as far as can be told.
        """

        def preview(value: Any) -> dict[str, Any]:
            try:
                return {"path": str(self.of(value))}
            except InpaintError as problem:
                words = self.store.plain(str(problem)).removeprefix(f"{Path(str(value)).name}: ")
                return {"error": words, "picture": not isinstance(problem, FormatError)}

        return preview

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise ConfigError("too many pictures are being opened just now; try again")
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _made(self, source: Path) -> Path:
        # The folder of an upload is named after its content, that of a result is new.
        name = hashlib.sha256(str(source).encode()).hexdigest()
        path = self.store.root / FOLDER / f"{name}.png"
        if not path.is_file():
            self.store.picture(source)
            try:
                write_preview(source, path, max_pixels=self.store.limits.pixels)
            finally:
                give_back()
        return self.store.used(path)
