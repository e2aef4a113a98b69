"""Write tests/data/node_contracts.json anew, after a change of a node that was meant.

    python tests/scripts/write_node_contracts.py

Look at the difference before it is committed: an id, a type or an order that changes breaks the
workflows that people have saved.
"""

import json
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS))

from packs import contract_of, loaded_pack  # noqa: E402 - lies in a folder added just above


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder, loaded_pack(Path(folder)) as pack:
        contracts = {name: contract_of(pack.schema(name)) for name in sorted(pack.nodes)}
    text = json.dumps(contracts, indent=1, sort_keys=False)
    (TESTS / "data" / "node_contracts.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
