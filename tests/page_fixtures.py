"""Fixtures of the demo's whole page: one real server for all modules, and visitors of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demos import ROOT, Demo, running, write_models
from editor_visits import DESKTOP, SECONDS, SIZE, EditorVisit
from PIL import Image

OF_GRADIO = "Method not implemented."
"""What Gradio warns of itself when a file was uploaded by `gr.File`."""


class PageVisit(EditorVisit):
    """A visitor of the whole page."""

    def _listen(self, message: Any) -> None:
        if message.text != OF_GRADIO:
            super()._listen(message)

    def load(self, query: str = "") -> None:
        self.page.goto(self.address + query)
        self.page.wait_for_selector(".gf-editor[data-layers^='mask']")
        self.root = self.page.locator(".gf-editor")

    def open(self, photo: Path, size: tuple[int, int] = SIZE) -> None:
        """Open a photo of `size` (height, width)."""
        self.page.set_input_files(".gf-open-file", photo)
        self.wait(size=f"{size[1]}x{size[0]}", busy="false")

    def options(self, where: str) -> list[str]:
        """What a dropdown offers once it is opened."""
        self.page.locator(f"#{where} input").click()
        return list(self.page.locator(f"#{where}").get_by_role("option").all_inner_texts())

    def pick(self, where: str, option: str) -> None:
        """Choose of a dropdown."""
        self.page.locator(f"#{where} input").click()
        there = self.page.locator(f"#{where}").get_by_role("option", name=option, exact=True)
        there.click()

    def sample(self, name: str) -> None:
        """Choose a sample, and wait until it is in the editor with its mask."""
        with Image.open(ROOT / "samples" / f"{name}.jpg") as image:
            width, height = image.size
        place = ".gf-welcome"
        if self.state("ready") == "1":
            self.page.click("[data-act=samples]")
            place = ".gf-pick"
        self.page.click(f"{place} [data-sample={name}]")
        self.wait(size=f"{width}x{height}", busy="false")

    def tab(self, name: str) -> None:
        tab = self.page.get_by_role("tab", name=name, exact=True)
        more = self.page.get_by_role("button", name="More tabs")
        tab.or_(more).first.wait_for()  # Gradio measures first
        if not tab.count():  # there is no room for all of them
            more.click()
            tab = self.page.locator(".overflow-dropdown button", has_text=name)
        tab.click()

    def status(self, where: str, text: str) -> None:
        """Wait until the status says this."""
        expected(self.page.locator(f"#{where}")).to_contain_text(text, timeout=SECONDS)

    def complaint(self, text: str) -> None:
        """Wait for an error that says this, and put it away."""
        toast = self.page.get_by_test_id("toast-body").filter(has_text=text)
        expected(toast).to_be_visible(timeout=SECONDS)
        toast.get_by_test_id("toast-close").click()

    def fill_now(self) -> None:
        results = int(self.state("results"))
        self.page.click("#fill")
        self.wait(results=results + 1, showing="true", busy="false")


def expected(locator: Any) -> Any:
    """Playwright's `expect`, which need not be installed."""
    from playwright.sync_api import expect

    return expect(locator)


@pytest.fixture(scope="session")
def page_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The server; its tiny networks lie in `page_demo.models`."""
    models = write_models(tmp_path_factory.mktemp("models"))
    flags = ("--models", models, "--weights", models / "tiny.safetensors")
    with running(tmp_path_factory.mktemp("served"), *flags) as found:
        found.models = models
        yield found
        assert "Traceback" not in found.log(), found.log()


@pytest.fixture
def page_visit(
    editor_browser: Any, page_demo: Demo, tmp_path: Path
) -> Iterator[Callable[..., PageVisit]]:
    """Open the page as a new visitor; nothing may be complained of in the end."""
    visits = []

    def start(**screen: Any) -> PageVisit:
        context = editor_browser.new_context(**({"locale": "en-US"} | (screen or DESKTOP)))
        visits.append(PageVisit(context, page_demo.url, tmp_path))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
        assert one.complaints == []
