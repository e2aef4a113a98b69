// Strokes on the layers over the photo. Every layer has the photo's own size; CSS scales it.
//
// A stroke is {kind: 'stroke', tool, size, tint, points: [[x, y], ...], parts} in pixels of the photo;
// parts: how many points there were each time that more of it was drawn. It is drawn again by the
// same parts, as soft edges that overlap would otherwise come out as others.

const HOLE = '#ff3d68';
const SOLID = 127; // a pixel is painted where its alpha is above this

/** The layers that each tool draws on. */
const TARGETS = { brush: ['mask'], sketch: ['sketch'], color: ['color'], eraser: ['mask', 'color', 'sketch'] };

export class Paint {
  /** layers: canvases by name; `mask` must be there, `sketch` and `color` where the network takes them. */
  constructor(layers) {
    this.layers = layers;
    this.contexts = {};
    for (const name in layers) {
      this.contexts[name] = layers[name].getContext('2d', { willReadFrequently: true });
    }
  }

  resize(width, height) {
    for (const name in this.layers) Object.assign(this.layers[name], { width, height });
  }

  /** Draw what is new of `stroke`. */
  extend(stroke) {
    const from = stroke.parts.at(-1) ?? 0;
    stroke.parts.push(stroke.points.length);
    this.#trace(stroke, from, stroke.points.length);
  }

  #trace(stroke, from, to) {
    for (const name of TARGETS[stroke.tool]) {
      if (this.contexts[name]) segment(this.contexts[name], stroke, stroke.points.slice(Math.max(from - 1, 0), to));
    }
  }

  redraw(strokes) {
    for (const name in this.layers) {
      this.contexts[name].clearRect(0, 0, this.layers[name].width, this.layers[name].height);
    }
    for (const stroke of strokes) {
      stroke.parts.forEach((to, i) => this.#trace(stroke, stroke.parts[i - 1] ?? 0, to));
    }
  }

  /** What the brush painted: {left, top, width, height, mask} round all strokes, or null if nothing. */
  hole(strokes) {
    const { width, height } = this.layers.mask;
    const box = bounds(strokes.filter((stroke) => stroke.tool === 'brush'), width, height);
    if (!box) return null;
    const mask = this.bytes('mask', box);
    return mask.some((value) => value) ? { ...box, mask } : null;
  }

  /** One byte for each pixel of `box`: 255 where the layer is painted, otherwise 0. */
  bytes(name, box) {
    const rgba = this.pixels(name, box);
    const bytes = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < bytes.length; i++) bytes[i] = rgba[4 * i + 3] > SOLID ? 255 : 0;
    return bytes;
  }

  /** The colours (3, h, w) of what is painted inside `box`, and black elsewhere. */
  colours(name, box) {
    const rgba = this.pixels(name, box);
    const count = rgba.length / 4;
    const planes = new Uint8Array(3 * count);
    for (let i = 0; i < count; i++) {
      if (rgba[4 * i + 3] <= SOLID) continue;
      for (let c = 0; c < 3; c++) planes[c * count + i] = rgba[4 * i + c];
    }
    return planes;
  }

  pixels(name, { left, top, width, height }) {
    return this.contexts[name].getImageData(left, top, width, height).data;
  }
}

function segment(context, { tool, size, tint }, points) {
  context.globalCompositeOperation = tool === 'eraser' ? 'destination-out' : 'source-over';
  context.strokeStyle = { brush: HOLE, color: tint }[tool] ?? '#000';
  context.lineCap = context.lineJoin = 'round';
  context.lineWidth = size;
  context.beginPath();
  context.moveTo(...points[0]);
  // A path of no length paints no dot everywhere.
  if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
  for (const point of points.slice(1)) context.lineTo(...point);
  context.stroke();
}

/** The rectangle round all strokes, inside the photo; null if there is none. */
function bounds(strokes, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const { size, points } of strokes) {
    const reach = size / 2 + 2;
    for (const [x, y] of points) {
      left = Math.min(left, x - reach);
      top = Math.min(top, y - reach);
      right = Math.max(right, x + reach);
      bottom = Math.max(bottom, y + reach);
    }
  }
  left = Math.max(0, Math.floor(left));
  top = Math.max(0, Math.floor(top));
  right = Math.min(width, Math.ceil(right));
  bottom = Math.min(height, Math.ceil(bottom));
  return right > left && bottom > top ? { left, top, width: right - left, height: bottom - top } : null;
}
