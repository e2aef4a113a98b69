// Layers as sparse tiles, and tiles packed for undo.
//
// Where nothing is drawn there is no tile, so that an empty layer of a large photo costs nothing; and
// drawing on one tile does not make the browser copy all of a canvas that was just shown.

const TILE = 256; // pixels a side
const BYTES_PER_PIXEL = 4;

/** One layer of a picture: RGBA, transparent where nothing is drawn. Boxes are in pixels. */
class Layer {
  constructor(name, width, height) {
    Object.assign(this, { name, width, height });
    this.columns = Math.ceil(width / TILE);
    this.tiles = new Map(); // index, row by row -> 2D context
    this.version = 0; // counts changes
    this.png = null; // {version, blob}: the last encoding
    this.sent = null; // {version, file}: what the server has
  }

  /** Where a tile lies: {left, top, width, height}; those at the rim are smaller. */
  place(index) {
    const left = (index % this.columns) * TILE;
    const top = Math.floor(index / this.columns) * TILE;
    const width = Math.min(TILE, this.width - left);
    const height = Math.min(TILE, this.height - top);
    return { left, top, width, height };
  }

  /** The indices of the tiles that a box {left, top, right, bottom} meets. */
  *meets({ left, top, right, bottom }) {
    const lastColumn = Math.floor((Math.min(right, this.width) - 1) / TILE);
    const lastRow = Math.floor((Math.min(bottom, this.height) - 1) / TILE);
    for (let row = Math.max(Math.floor(top / TILE), 0); row <= lastRow; row++) {
      for (let column = Math.max(Math.floor(left / TILE), 0); column <= lastColumn; column++) {
        yield row * this.columns + column;
      }
    }
  }

  everywhere() {
    return this.meets({ left: 0, top: 0, right: this.width, bottom: this.height });
  }

  /** A copy of a tile's pixels, ImageData. */
  read(index) {
    const { width, height } = this.place(index);
    return this.tiles.get(index)?.getImageData(0, 0, width, height) ?? new ImageData(width, height);
  }

  /** Put pixels into a tile; of them only those in `box` {left, top, width, height}, if it is given. */
  write(index, pixels, box = { left: 0, top: 0, width: pixels.width, height: pixels.height }) {
    if (!this.tiles.has(index)) {
      const canvas = new OffscreenCanvas(pixels.width, pixels.height);
      this.tiles.set(index, canvas.getContext('2d', { willReadFrequently: true }));
    }
    const { left, top, width, height } = box;
    this.tiles.get(index).putImageData(pixels, 0, 0, left, top, width, height);
    this.version += 1;
  }

  remove(index) {
    this.tiles.delete(index);
    this.version += 1;
  }

  /** Whether nothing is drawn. Tiles that were drawn on and erased go for good. */
  isBlank() {
    for (const index of [...this.tiles.keys()]) {
      if (hasInk(this.read(index))) return false;
      this.tiles.delete(index);
    }
    return true;
  }

  get bytes() {
    return this.tiles.size * TILE * TILE * BYTES_PER_PIXEL;
  }

  /** The RGBA of one pixel, [0..255] * 4. */
  pixel(x, y) {
    const [index] = this.meets({ left: x, top: y, right: x + 1, bottom: y + 1 });
    const context = this.tiles.get(index);
    return context ? [...context.getImageData(x % TILE, y % TILE, 1, 1).data] : [0, 0, 0, 0];
  }

  /** All of it on one canvas, on `ground` (transparent if there is none). */
  toCanvas(ground = null) {
    const canvas = new OffscreenCanvas(this.width, this.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (ground) {
      context.fillStyle = ground;
      context.fillRect(0, 0, this.width, this.height);
    }
    for (const [index, tile] of this.tiles) {
      const { left, top } = this.place(index);
      context.drawImage(tile.canvas, left, top);
    }
    return canvas;
  }

  /** The layer as an RGBA PNG, encoded once for each version. */
  async encoded() {
    if (this.png?.version !== this.version) {
      const { version } = this;
      const blob = await encode(this.toCanvas(), this.name);
      this.png = { version, blob };
    }
    return this.png.blob;
  }
}

/** A canvas as PNG. Throws a Problem where the browser has no memory for it. */
async function encode(canvas, name) {
  try {
    return await canvas.convertToBlob({ type: 'image/png' });
  } catch {
    throw new Problem('tooLarge', { name, width: canvas.width, height: canvas.height });
  }
}

const asNumbers = (image) => new Uint32Array(image.data.buffer, image.data.byteOffset, image.data.length / 4);

function hasInk(image) {
  return asNumbers(image).some((pixel) => pixel !== 0);
}

function sameInk(one, other) {
  const [a, b] = [asNumbers(one), asNumbers(other)];
  return a.every((pixel, i) => pixel === b[i]);
}

/**
 * Pixels as runs [count, pixel, count, pixel, ...]: drawings are flat, so that a hundred steps of
 * undo fit where raw pixels would fill the memory. Pixels that have no runs stay as they are.
 */
function pack(image) {
  const pixels = asNumbers(image);
  const runs = [];
  for (let from = 0; from < pixels.length; ) {
    let to = from + 1;
    while (to < pixels.length && pixels[to] === pixels[from]) to += 1;
    runs.push(to - from, pixels[from]);
    if (runs.length >= pixels.length) return { image, bytes: image.data.length };
    from = to;
  }
  const { width, height } = image;
  return { width, height, runs: Uint32Array.from(runs), bytes: runs.length * 4 };
}

function unpack(packed) {
  if (packed.image) return packed.image;
  const image = new ImageData(packed.width, packed.height);
  const pixels = asNumbers(image);
  let at = 0;
  for (let i = 0; i < packed.runs.length; i += 2) {
    pixels.fill(packed.runs[i + 1], at, at + packed.runs[i]);
    at += packed.runs[i];
  }
  return image;
}
