// One stroke on a layer: shapes are joined, and laid over what was there before as one.
//
// So a soft brush that passes a place twice within a stroke does not become harder there, and a
// stroke can be taken back while it is drawn.

class Stroke {
  /** color: [red, green, blue] of bytes; erase: whether the coverage is taken away instead. */
  constructor(layer, { color, erase }) {
    Object.assign(this, { layer, color, erase });
    this.tiles = new Map();
  }

  /** Add a shape; the box of pixels that may have changed, or null. */
  add(shape) {
    let changed = null;
    for (const index of this.layer.meets(shape.box)) {
      if (this.erase && !this.layer.tiles.has(index)) continue;
      const tile = this.tiles.get(index) ?? this.#begin(index);
      const box = cover(tile, shape);
      if (!box) continue;
      blend(tile, box, this.color, this.erase);
      this.layer.write(index, tile.after, box);
      const { left, top } = tile.place;
      const [x, y] = [left + box.left, top + box.top];
      changed = joined(changed, { left: x, top: y, right: x + box.width, bottom: y + box.height });
    }
    return changed;
  }

  #begin(index) {
    const before = this.layer.read(index);
    const { width, height } = before;
    const after = new ImageData(new Uint8ClampedArray(before.data), width, height);
    const place = this.layer.place(index);
    const tile = { place, before, after, fresh: !this.layer.tiles.has(index) };
    tile.cover = new Uint8Array(width * height);
    this.tiles.set(index, tile);
    return tile;
  }

  /** What undo needs, [{layer, index, packed}, ...]; empty if the stroke made no difference. */
  finish() {
    return [...this.tiles]
      .filter(([, tile]) => !sameInk(tile.before, tile.after))
      .map(([index, tile]) => ({ layer: this.layer, index, packed: pack(tile.before) }));
  }

  /** Put everything back. */
  cancel() {
    for (const [index, tile] of this.tiles) {
      if (tile.fresh) this.layer.remove(index);
      else this.layer.write(index, tile.before);
    }
    this.tiles.clear();
  }
}

/** Raise a tile's coverage to that of a shape; the box that changed, inside the tile, or null. */
function cover(tile, shape) {
  const { left, top, width, height } = tile.place;
  const from = Math.max(shape.box.top - top, 0);
  const to = Math.min(shape.box.bottom - top, height);
  let changed = null;
  for (let y = from; y < to; y++) {
    const spans = shape.spans(top + y);
    for (let i = 0; i < spans.length; i += 2) {
      const first = Math.max(spans[i] - left, 0);
      const end = Math.min(spans[i + 1] - left, width);
      if (!coverRow(tile, shape, y, first, end)) continue;
      changed = joined(changed, { left: first, top: y, right: end, bottom: y + 1 });
    }
  }
  if (!changed) return null;
  const { left: x, top: y, right, bottom } = changed;
  return { left: x, top: y, width: right - x, height: bottom - y };
}

function coverRow({ place, cover: covered }, shape, y, first, end) {
  const start = y * place.width;
  let changed = false;
  for (let x = first; x < end; x++) {
    const value = shape.at(place.left + x, place.top + y);
    if (value <= covered[start + x]) continue;
    covered[start + x] = value;
    changed = true;
  }
  return changed;
}

/** Lay a colour over a tile as it was before, or take it away, as much as each pixel is covered. */
function blend({ before, after, cover: covered }, box, color, erase) {
  const mix = erase ? takeAway : layOver;
  for (let y = box.top; y < box.top + box.height; y++) {
    const row = y * before.width;
    for (let i = row + box.left; i < row + box.left + box.width; i++) {
      if (covered[i]) mix(before.data, after.data, 4 * i, covered[i], color);
    }
  }
}

function takeAway(before, after, at, covered) {
  const alpha = Math.round((before[at + 3] * (FULL - covered)) / FULL);
  for (let c = 0; c < 3; c++) after[at + c] = alpha ? before[at + c] : 0;
  after[at + 3] = alpha;
}

function layOver(before, after, at, covered, color) {
  const kept = (before[at + 3] * (FULL - covered)) / FULL;
  const alpha = covered + kept;
  for (let c = 0; c < 3; c++) {
    after[at + c] = Math.round((color[c] * covered + before[at + c] * kept) / alpha);
  }
  after[at + 3] = Math.round(alpha);
}
