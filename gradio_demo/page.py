"""What all tabs share: settings, progress that can be cancelled, and errors in a sentence."""

import html
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import gradio as gr
from fastapi.responses import JSONResponse
from gradio.exceptions import InvalidPathError

from core.errors import InpaintError
from core.options import STRATEGIES
from gradio_demo.asked import MOST_FEATHER, MOST_GROW, order_of
from gradio_demo.running import FILLING, Job
from gradio_demo.service import Done, Order, Service
from gradio_demo.words import language_of, said, translations

DEVICE, BATCH = "device", "batch"
"""Groups of events that wait for one another: what is done at once, and what takes long."""
BROKEN = "something failed here while this was done; the log of the service says what"
UNFIT = "this request does not fit what is asked for; the tab API says what is taken"
FOREIGN = (
    "a file of this request is not a file that was uploaded here; upload it, and give what the "
    "upload answers"
)
GONE = "a file of this request is not here any more; open or upload it again"
MOST_WORDS = 1000
"""Characters of an error."""
NO_MARKUP = str.maketrans("<>", "\u2039\u203a")
"""The page takes an error for HTML; names of files may be in it."""

OVER = """(html) => {
  const line = new DOMParser().parseFromString(html, 'text/html').querySelector('[data-job]');
  if (!line) return html;
  const { job, cancelled } = line.dataset;
  line.firstChild.textContent = window.gatefillCancelled?.has(job) ? cancelled : '';
  line.lastChild.remove();
  delete line.dataset.job;
  return line.outerHTML;
}"""
"""The `js` that makes of the status of a job that goes on that of one that has ended."""

log = logging.getLogger("gatefill")
Result = TypeVar("Result")


class Page(gr.Blocks):
    """A page whose every failure reaches the visitor as one sentence, and only that."""

    def __init__(self, service: Service, **options: Any):
        super().__init__(analytics_enabled=False, **options)
        self.service = service

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As Gradio's, which gives no words to errors but its own."""
        try:
            return await super().process_api(*args, **options)
        except gr.Error as problem:
            raise _error(self.service.store.plain(str(problem.message))) from None
        except InpaintError as problem:
            raise _error(self.service.store.plain(str(problem))) from None
        except InvalidPathError:
            raise _error(FOREIGN) from None
        except FileNotFoundError:
            raise _error(GONE) from None
        except Exception as problem:  # Gradio has many kinds for values that are none of its
            log.warning("a request did not fit (%s)", type(problem).__name__)
            raise _error(UNFIT) from None

    async def call_function(self, *args: Any, **options: Any) -> Any:
        """As Gradio's; what fails in a function of ours is in the log, and not in the answer."""
        try:
            return await super().call_function(*args, **options)
        except (gr.Error, InpaintError):
            raise
        except Exception:  # of whatever kind: one job must not take the service down
            log.exception("a job failed")
            raise _error(BROKEN) from None


def _first_backend(service: Service, network: Any) -> str:
    """What the operator said, where it can run the network."""
    wanted, there = service.models.backend, service.models.backends(network)
    return wanted if wanted in there else there[0]


async def unfit(request: Any, problem: Exception) -> JSONResponse:
    """The answer to a body of another form than a route takes."""
    return JSONResponse({"detail": UNFIT}, 422)


def _error(text: str) -> gr.Error:
    return gr.Error(_short(sentence(text).translate(NO_MARKUP)), print_exception=False)


def sentence(text: str) -> str:
    """An error as it is shown: with a capital, unless it begins with a name."""
    first = text.split(maxsplit=1)[:1]
    return text[0].upper() + text[1:] if first and first[0].isalpha() else text


def _short(text: str) -> str:
    """Values of requests are repeated in some errors, and may be of any length."""
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}..."


@dataclass(frozen=True)
class Settings:
    """The components that say how to fill."""

    network: gr.Dropdown
    backend: gr.Dropdown
    how: tuple[Any, ...]
    """strategy, grow, feather, seed."""

    @property
    def inputs(self) -> list[Any]:
        """As `asked_for` takes them."""
        return [self.network, self.backend, *self.how]


def asked_for(
    network: Any, backend: Any, strategy: Any, grow: Any, feather: Any, seed: Any
) -> Order:
    """The order of the components; a seed of 0 stands for none. Raises ConfigError."""
    return order_of(network, backend, strategy, grow, feather, seed or None)


def chosen_network(
    service: Service, t: gr.I18n, key: str, prefix: str, *, first: str = "", runtime: str = ""
) -> tuple[Any, Any]:
    """Two dropdowns: a network and what runs it. `prefix` is that of their ids.

    first, runtime: what is chosen at first; "" = as the operator said.
    """
    first = first or service.models.first
    network = gr.Dropdown(
        service.models.names(), value=first, label=t(key), elem_id=f"{prefix}-network",
        allow_custom_value=True,  # as below
    )  # fmt: skip
    network.focus(lambda: networks_of(service), None, network, **quiet())
    backend = gr.Dropdown(
        list(service.models.backends(first)),
        value=runtime or _first_backend(service, first),
        label=t("backend"),
        allow_custom_value=True,  # what can be chosen changes, and is checked in `models`
        elem_id=f"{prefix}-backend",
    )
    return network, backend


def networks_of(service: Service) -> gr.Dropdown:
    """The dropdown of the networks that there are now; which one is chosen stays."""
    return gr.Dropdown(service.models.names())


def drawers_of(service: Service) -> gr.Dropdown:
    """The dropdown of the ways of drawing lines that there are now."""
    return gr.Dropdown(service.drawers())


def settings(service: Service, t: gr.I18n, prefix: str) -> Settings:
    """The settings of a tab, those that are seldom changed folded away."""
    network, backend = chosen_network(service, t, "network", prefix)
    with gr.Accordion(t("how"), open=False):
        how = (
            gr.Dropdown(
                list(STRATEGIES), value="auto", label=t("strategy"), info=t("strategy_info"),
                elem_id=f"{prefix}-strategy",
            ),
            gr.Slider(
                0, MOST_GROW, 0, step=1, label=t("grow"), info=t("grow_info"),
                elem_id=f"{prefix}-grow",
            ),
            gr.Slider(
                0, MOST_FEATHER, 0, step=1, label=t("feather"), info=t("feather_info"),
                elem_id=f"{prefix}-feather",
            ),
            gr.Number(
                0, precision=0, minimum=0, label=t("seed"), info=t("seed_info"),
                elem_id=f"{prefix}-seed",
            ),
        )  # fmt: skip
    return Settings(network, backend, how)


def backends_of(service: Service, network: Any) -> gr.Dropdown:
    """The dropdown of what can run a network."""
    return gr.Dropdown(
        list(service.models.backends(network)), value=_first_backend(service, network)
    )


def spoken(request: gr.Request) -> str:
    """The language that a visitor's browser asks for."""
    return language_of(request.headers.get("accept-language", ""))


def follow(
    steps: Generator[Job, None, Result], show: Callable[[Job], Any]
) -> Generator[Any, None, Result]:
    """Yields what `show` makes of each step, returns what they come to; closing it ends them."""
    try:
        while True:
            try:
                job = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            yield show(job)
    finally:
        steps.close()


def status(text: str) -> str:
    """A line that is read out where a screen reader is."""
    return f'<div class="job-status">{_read_out(text)}</div>'


def running(text: str, share: float, job: str, cancelled: str) -> str:
    """`status` with a bar, while something goes on.

    share: how much is done, 0 to 1; 0 = not known. job: its key. cancelled: what is to be said
    once it was cancelled.
    """
    done = f' value="{share:.3f}"' if share else ""  # without a value it only moves
    bar = f'<progress max="1"{done} aria-label="{html.escape(text)}"></progress>'
    return (
        f'<div class="job-status" data-job="{job}" data-cancelled="{html.escape(cancelled)}">'
        f"{_read_out(text)}{bar}</div>"
    )


def _read_out(text: str) -> str:
    return f'<span role="status">{html.escape(text)}</span>'


def settled(event: Any, line: gr.HTML) -> None:
    """See that the status of a job does not say that it goes on once it has ended, however.

    The last word of a job that was cancelled can arrive after that of its end: of Gradio's events
    "then" comes after all of them.
    """
    when_over(event, OVER, line)


def when_over(event: Any, js: str, line: gr.HTML | None = None) -> None:
    """Do `js` once a job has ended, however; `line` is what it takes and gives."""
    for ended in (event.then, event.failure):  # Gradio's "then" does not follow a failure
        ended(None, line, line, js=js, api_visibility="private")


def cancels(triggers: list[Any], jobs: list[Any], line: gr.HTML, js: str = "") -> None:
    """Triggers that end jobs and say so. `line` is that of `settled`; `js` is done before."""
    job = f"document.querySelector('#{line.elem_id} [data-job]')?.dataset.job"
    mark = f"(window.gatefillCancelled ??= new Set()).add({job})"
    gr.on(
        triggers, _cancelled, None, line, cancels=jobs, js=f"() => {{ {mark}; {js} }}",
        **quiet(queue=False),
    )  # fmt: skip


def _cancelled(request: gr.Request) -> str:
    """The status when a visitor ended what was being done."""
    return status(said("cancelled", spoken(request)))


def filled_words(done: Done, language: str) -> str:
    """What is said of a fill."""
    facts = {name: done.report[name] for name in ("network", "runs_on")}
    seconds, hole = done.report["seconds"], done.report["hole_percent"]
    return said("filled", language, seconds=f"{seconds:.2f}", hole=f"{hole:.3g}", **facts)


def going_on(job: Job, language: str) -> str:
    """The status of a job."""
    doing, place = said(job.doing, language), job.place
    if place:
        doing = said("part", language, doing=doing, number=place[0], count=place[1])
    share = job.share if place or job.doing == FILLING else 0.0
    return running(doing, share, job.key, said("cancelled", language))


def quiet(**options: Any) -> dict[str, Any]:
    """The options of every event that no client is to call."""
    return {"api_visibility": "private", "show_progress": "hidden", **options}


def words() -> gr.I18n:
    """The labels in all languages."""
    return gr.I18n(**translations())
