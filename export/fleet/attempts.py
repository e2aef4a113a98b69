"""Items that workers die of, found out, so that they are reported and do not stop the job.

A worker that is killed cannot say on what it died. So a note lies beside the plan while a shard is
worked on: the next worker that takes the shard finds it, and from then on writes down each item
before it begins with it. An item on which workers died `MOST_DEATHS` times is left out.
"""

import json
import os
import socket
from typing import Any

from core.errors import BackendError

from .journal import TRYING
from .shards import Shard
from .storage import Store

MOST_DEATHS = 2
"""On one item: the first may have been chance."""
MOST_IDLE_DEATHS = 20
"""On one shard, nobody knows of what: machines that are taken away, or a network that does not
load."""


class Attempt:
    """One worker's turn at one shard."""

    def __init__(self, output: Store, shard: Shard):
        """Begin. Raises BackendError if workers died too often without having begun with an item.

        The note: the item that is being worked on, "" = not known, and deaths by item.
        """
        self.output, self.name = output, f"{TRYING}/{shard.name}.json"
        before = self._note()
        self.deaths: dict[str, int] = before.get("deaths", {})
        self.reasons: dict[str, str] = before.get("reasons", {})
        self.careful = bool(before)
        """Whether an earlier worker died on this shard."""
        if before:
            self.deaths[before["item"]] = self.deaths.get(before["item"], 0) + 1
        if self.deaths.get("", 0) > MOST_IDLE_DEATHS:
            raise BackendError(
                f"workers died {self.deaths['']} times on the shard {shard.name}; look into Ray's "
                "logs (--verbose), mend that and run again with --resume"
            )
        self._write("")

    def begin(self, item_id: str) -> str:
        """Note that the item is next; or why it is left out, as workers died on it."""
        if (count := self.deaths.get(item_id, 0)) >= MOST_DEATHS:
            why = self.reasons.get(item_id, "killed, perhaps for want of memory")
            return f"its worker died {count} times on it ({why}); try it alone"
        if self.careful:
            self._write(item_id)
        return ""

    def died_of(self, item_id: str, problem: Exception) -> None:
        """Note what this worker is about to die of."""
        self.reasons[item_id] = f"{type(problem).__name__}: {problem}".partition("\n")[0][:300]
        self._write(item_id)

    def finish(self) -> None:
        """The shard is done."""
        self.output.delete(self.name)

    def _note(self) -> dict[str, Any]:
        if not self.output.exists(self.name):
            return {}
        return dict(json.loads(self.output.read(self.name)))

    def _write(self, item_id: str) -> None:
        note = {
            "item": item_id,
            "deaths": self.deaths,
            "reasons": self.reasons,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.output.write(self.name, json.dumps(note).encode())
