// Painting of picture, layers and result on the screen's canvas, and of the brush above it.

const TINTS = { mask: '#ff2d62', sketch: '#12d8ff' }; // their own pixels are white
const CRISP = 3; // pixels of the screen for one of the picture from which its pixels are shown as squares
const CHECKERS = 12; // pixels a square behind transparent pictures
const SPILL = 2; // pixels of the screen beyond a box that smoothing reaches

class Painter {
  constructor(editor, canvas) {
    this.editor = editor;
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.scratch = new OffscreenCanvas(1, 1).getContext('2d');
    this.dirty = null;
  }

  /** Paint soon: what is in a box of the picture, or all of it. */
  refresh(box = null) {
    if (!this.dirty) requestAnimationFrame(() => this.#paint());
    this.dirty = joined(this.dirty, box ? this.#onScreen(box) : this.#everything);
  }

  get #everything() {
    return { left: 0, top: 0, right: this.canvas.width, bottom: this.canvas.height };
  }

  #onScreen({ left, top, right, bottom }) {
    const from = this.editor.view.onScreen({ x: left, y: top });
    const to = this.editor.view.onScreen({ x: right, y: bottom });
    return {
      left: clamp(Math.floor(from.x) - SPILL, 0, this.canvas.width),
      top: clamp(Math.floor(from.y) - SPILL, 0, this.canvas.height),
      right: clamp(Math.ceil(to.x) + SPILL, 0, this.canvas.width),
      bottom: clamp(Math.ceil(to.y) + SPILL, 0, this.canvas.height),
    };
  }

  #paint() {
    const { dirty, context, editor } = this;
    this.dirty = null;
    const { left, top, right, bottom } = dirty;
    context.globalAlpha = 1;
    context.clearRect(left, top, right - left, bottom - top);
    if (!editor.sheet) return;
    const border = editor.desk.border;
    this.#within({ ...dirty, right: Math.min(right, border) }, (box) => {
      this.#picture(editor.sheet.picture);
      if (!editor.desk.holding) this.#layers(box);
    });
    this.#within({ ...dirty, left: Math.max(left, border) }, () => this.#picture(editor.desk.shown));
  }

  #within(box, paint) {
    const { left, top, right, bottom } = box;
    if (left >= right || top >= bottom) return;
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, top, right - left, bottom - top);
    this.context.clip();
    paint(box);
    this.context.restore();
  }

  #picture(picture) {
    const { view, sheet } = this.editor;
    const { scale, x, y } = view;
    const [width, height] = [sheet.picture.width * scale, sheet.picture.height * scale];
    this.context.fillStyle = this.#checkers;
    this.context.fillRect(x, y, width, height);
    this.context.imageSmoothingEnabled = scale < CRISP;
    this.context.drawImage(picture.level(scale), x, y, width, height);
  }

  get #checkers() {
    if (!this.pattern) {
      const tile = new OffscreenCanvas(2 * CHECKERS, 2 * CHECKERS).getContext('2d');
      tile.fillStyle = '#fff';
      tile.fillRect(0, 0, 2 * CHECKERS, 2 * CHECKERS);
      tile.fillStyle = '#ccc';
      for (const at of [0, CHECKERS]) tile.fillRect(at, at, CHECKERS, CHECKERS);
      this.pattern = this.context.createPattern(tile.canvas, 'repeat');
    }
    return this.pattern;
  }

  #layers(box) {
    const { sheet, taken, hidden, opacity } = this.editor;
    for (const name of taken) {
      const layer = sheet.layers[name];
      if (hidden.has(name) || !layer.tiles.size) continue;
      this.context.globalAlpha = opacity[name];
      if (TINTS[name]) this.#tinted(layer, box, TINTS[name]);
      else this.#tiles(this.context, layer, box);
    }
  }

  /** A white layer in a colour of its own. */
  #tinted(layer, { left, top, right, bottom }, tint) {
    const { scratch } = this;
    const { canvas } = scratch;
    const [width, height] = [right - left, bottom - top];
    if (canvas.width < this.canvas.width || canvas.height < this.canvas.height) {
      Object.assign(canvas, { width: this.canvas.width, height: this.canvas.height });
    }
    scratch.globalCompositeOperation = 'source-over';
    scratch.clearRect(left, top, width, height);
    this.#tiles(scratch, layer, { left, top, right, bottom });
    scratch.globalCompositeOperation = 'source-in';
    scratch.fillStyle = tint;
    scratch.save();
    scratch.beginPath();
    scratch.rect(left, top, width, height);
    scratch.clip(); // "source-in" would empty all the rest
    scratch.fillRect(left, top, width, height);
    scratch.restore();
    this.context.drawImage(canvas, left, top, width, height, left, top, width, height);
  }

  /** The tiles of a layer that a box of the screen shows, each on whole pixels, so that no seam is. */
  #tiles(context, layer, box) {
    const { view } = this.editor;
    const edge = (start, at) => Math.round(start + at * view.scale);
    context.imageSmoothingEnabled = view.scale < 1;
    for (const [index, tile] of layer.tiles) {
      const { left, top, width, height } = layer.place(index);
      const [x, right] = [edge(view.x, left), edge(view.x, left + width)];
      const [y, bottom] = [edge(view.y, top), edge(view.y, top + height)];
      if (x >= box.right || right <= box.left || y >= box.bottom || bottom <= box.top) continue;
      context.drawImage(tile.canvas, x, y, right - x, bottom - y);
    }
  }
}

/** What is above the picture: the brush where it would draw, and shapes that are being drawn. */
class Overlay {
  constructor(editor, canvas) {
    Object.assign(this, { editor, canvas, place: null });
    this.context = canvas.getContext('2d');
  }

  /** Show the brush at a place of the picture, {x, y}, or nowhere. */
  moveTo(place) {
    this.place = place;
    this.draw();
  }

  draw() {
    const { canvas, context, editor } = this;
    const { width, height } = editor.view.canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    else context.clearRect(0, 0, width, height);
    if (!editor.sheet) return;
    const outline = editor.hand.outline();
    if (outline) this.#outline(outline);
    if (this.place) this.#brush(this.place);
  }

  #brush(place) {
    const { view, hand } = this.editor;
    const { x, y } = view.onScreen(place);
    const radius = hand.isRound ? Math.max((hand.size * view.scale) / 2, 1) : 0;
    if (radius) {
      this.#twice(() => this.context.arc(x, y, radius, 0, 2 * Math.PI));
    } else {
      this.#twice(() => {
        for (const [dx, dy] of [[8, 0], [0, 8]]) {
          this.context.moveTo(x - dx, y - dy);
          this.context.lineTo(x + dx, y + dy);
        }
      });
    }
  }

  #outline({ points, width, closed }) {
    const { context, editor } = this;
    const trace = () => {
      for (const point of points) {
        const { x, y } = editor.view.onScreen(point);
        context.lineTo(x, y);
      }
      if (closed) context.closePath();
    };
    context.save();
    context.globalAlpha = 0.5;
    context.strokeStyle = context.fillStyle = editor.hand.tint;
    context.lineCap = context.lineJoin = 'round';
    context.lineWidth = width * editor.view.scale;
    context.beginPath();
    trace();
    if (closed) context.fill();
    else context.stroke();
    context.restore();
    this.#twice(trace);
  }

  /** Lines that are seen on any ground: dark below, light above. */
  #twice(trace) {
    const { context } = this;
    for (const [style, width] of [['#000a', 3], ['#fff', 1.25]]) {
      context.strokeStyle = style;
      context.lineWidth = width * devicePixelRatio;
      context.beginPath();
      trace();
      context.stroke();
    }
  }
}
