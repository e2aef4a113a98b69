// Undo and redo over all layers and pictures, in one list, bounded by bytes.
//
// An entry is {what, tiles: [{layer, index, packed}, ...], sheet}: what to put back. `sheet` is the
// one that was there before another picture was opened; null where the picture stayed.

const MOST_BYTES = 256e6;

class History {
  constructor(mostBytes = MOST_BYTES) {
    Object.assign(this, { mostBytes, done: [], undone: [] });
  }

  push(entry) {
    this.done.push(entry);
    this.undone = [];
    while (this.done.length > 1 && this.bytes > this.mostBytes) this.done.shift();
  }

  get bytes() {
    return this.done.reduce((sum, entry) => sum + entrySize(entry), 0);
  }

  /** Every sheet that undo or redo can bring back. */
  get sheets() {
    return [...this.done, ...this.undone].map((entry) => entry.sheet).filter(Boolean);
  }

  /**
   * Take one step: `back` is true for undo. Tiles are exchanged with those that are there now, and
   * `exchange(sheet)` does so with sheets. Resolves to the entry, or null if there is none.
   */
  async step(back, exchange) {
    const [from, to] = back ? [this.done, this.undone] : [this.undone, this.done];
    const entry = from.at(-1);
    if (!entry) return null;
    const sheet = entry.sheet && (await exchange(entry.sheet));
    from.pop();
    to.push({ ...entry, sheet, tiles: entry.tiles.map(exchanged) });
    return entry;
  }
}

/** Put a packed tile into its layer; what was there before, packed. */
function exchanged({ layer, index, packed }) {
  const before = pack(layer.read(index));
  const pixels = unpack(packed);
  if (hasInk(pixels)) layer.write(index, pixels);
  else layer.remove(index);
  return { layer, index, packed: before };
}

function entrySize({ tiles, sheet }) {
  return tiles.reduce((sum, { packed }) => sum + packed.bytes, sheet?.bytes ?? 0);
}

/** The box of pixels round tiles. */
function boxOfTiles(tiles) {
  return tiles.reduce((box, { layer, index }) => {
    const { left, top, width, height } = layer.place(index);
    return joined(box, { left, top, right: left + width, bottom: top + height });
  }, null);
}
