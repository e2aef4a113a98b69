"""Write locales/en/nodeDefs.json, the schema's own words, anew; a test compares them.

    python tests/scripts/write_en_locale.py

It also names what the other languages lack, or have too much. Their words are written by hand: a
sentence that has changed in English has to be changed there too.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from help_pages import LANGUAGES, paths_of, words_of  # noqa: E402 - a folder added just above
from packs import loaded_pack  # noqa: E402


def main() -> None:
    """Write it, and compare the others with it."""
    with tempfile.TemporaryDirectory() as folder, loaded_pack(Path(folder)) as pack:
        words = {name: words_of(pack.schema(name)) for name in pack.nodes}
    write(ROOT / "locales" / "en" / "nodeDefs.json", words)
    own = paths_of(words)
    for language in LANGUAGES[1:]:
        path = ROOT / "locales" / language / "nodeDefs.json"
        found = paths_of(json.loads(path.read_text(encoding="utf-8")))
        for what, paths in (("lacks", own - found), ("has too much:", found - own)):
            for place in sorted(paths):
                sys.stdout.write(f"{language} {what} {place}\n")


def write(path: Path, words: dict[str, Any]) -> None:
    """JSON for people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(words, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
