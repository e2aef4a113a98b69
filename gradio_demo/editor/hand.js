// What the pointer holds: a tool, with a size and a softness for each layer, and what it does.

const LAYERS = ['mask', 'sketch', 'color', 'semantic'];
const HARD = ['sketch', 'semantic']; // lines are there or not, and labels do not mix
const TOOLS = ['brush', 'eraser', 'line', 'box', 'lasso', 'pipette'];
const ROUND = ['brush', 'eraser', 'line'];
const WHITE = [255, 255, 255];
const SHARE = { mask: 1 / 20, sketch: 1 / 300, color: 1 / 30, semantic: 1 / 15 };
// Sizes to begin with, in longer sides of the picture.
const THIN = 2; // a brush below this size is put on the centres of pixels, so that it meets some
const LEAST_PRESSED = 0.2; // of the size, for a pen that hardly touches

class Hand {
  constructor(editor) {
    Object.assign(this, { editor, tool: 'brush', work: null, lastTool: 'brush' });
    this.sizes = {}; // by layer and brush or eraser, once they were chosen
    this.softnesses = { mask: 0, color: 0 };
    this.color = [224, 64, 64];
    this.label = null; // colour of the chosen label
  }

  get layer() {
    return this.editor.layer;
  }

  get isRound() {
    return ROUND.includes(this.tool);
  }

  get #slot() {
    return `${this.layer} ${this.tool === 'eraser' ? 'eraser' : 'brush'}`;
  }

  /** In pixels of the picture. */
  get size() {
    const { picture } = this.editor.sheet ?? { picture: { width: 512, height: 512 } };
    const usual = Math.round(Math.max(picture.width, picture.height) * SHARE[this.layer]);
    return this.sizes[this.#slot] ?? Math.max(usual, 1);
  }

  set size(size) {
    this.sizes[this.#slot] = clamp(Math.round(size), 1, this.mostSize);
  }

  get mostSize() {
    const { picture } = this.editor.sheet ?? { picture: { width: 512, height: 512 } };
    return Math.max(picture.width, picture.height);
  }

  get isHard() {
    return HARD.includes(this.layer);
  }

  /** From 0, a hard rim, to 1. */
  get softness() {
    return this.isHard ? 0 : this.softnesses[this.layer];
  }

  set softness(softness) {
    if (!this.isHard) this.softnesses[this.layer] = clamp(softness, 0, 1);
  }

  /** The colour that is drawn with, as bytes. */
  get ink() {
    return { color: this.color, semantic: this.label }[this.layer] ?? WHITE;
  }

  /** The colour in which what is drawn is shown. */
  get tint() {
    return TINTS[this.layer] ?? hexOf(this.ink);
  }

  /** Begin at {x, y, pressure}; erase: whether the pointer erases whatever the tool is. */
  begin(point, { erase = false } = {}) {
    const { editor } = this;
    if (editor.busy) return;
    if (this.tool === 'pipette') {
      this.work = { tool: 'pipette' };
      return this.#pick(point);
    }
    if (this.layer === 'semantic' && !this.label) return editor.complain(new Problem('noLabels'));
    const erases = erase || this.tool === 'eraser';
    const trial = this.layer === 'mask' && !erases ? editor.filling.touched() : null;
    editor.reveal(this.layer);
    const layer = editor.sheet.layers[this.layer];
    const stroke = new Stroke(layer, { color: this.ink, erase: erases });
    const tool = this.tool === 'eraser' ? 'brush' : this.tool;
    this.work = { tool, stroke, trial, points: [point] };
    if (tool === 'brush') this.#extend(point, point);
  }

  /** Go on through points; straight: whether lines and boxes are to keep to simple proportions. */
  move(points, { straight = false } = {}) {
    const { work } = this;
    if (!work) return;
    if (work.tool === 'pipette') this.#pick(points.at(-1));
    if (work.tool === 'brush') {
      for (const point of points) {
        this.#extend(work.points.at(-1), point);
        work.points.push(point);
      }
    }
    if (work.tool === 'lasso') work.points.push(...points);
    if (work.tool === 'line' || work.tool === 'box') {
      const end = points.at(-1);
      work.points[1] = straight ? straightened(work.points[0], end, work.tool) : end;
    }
    this.editor.overlay.draw();
  }

  end() {
    const { work, editor } = this;
    this.work = null;
    if (!work) return;
    if (work.tool === 'pipette') return editor.chooseTool(this.lastTool);
    const shape = this.#shape(work);
    if (shape) editor.painter.refresh(work.stroke.add(shape));
    this.#finish(work);
    editor.overlay.draw();
  }

  /** Keep what was drawn, and fill it if that is to be done at once. */
  #finish({ stroke, trial }) {
    const { editor } = this;
    const { name } = stroke.layer;
    const tiles = stroke.finish();
    if (!tiles.length) return trial?.revoke();
    trial?.settle();
    editor.record({ what: name, tiles, sheet: null });
    if (name !== 'mask') return;
    if (stroke.erase) editor.filling.changed();
    else editor.filling.lifted();
  }

  cancel() {
    const { work, editor } = this;
    this.work = null;
    work?.stroke?.cancel();
    work?.trial?.revoke();
    editor.painter.refresh();
    editor.overlay.draw();
    return Boolean(work);
  }

  /** What to show of a shape that is not drawn before its end: {points, width, closed}, or null. */
  outline() {
    const { work } = this;
    if (!work?.points || work.points.length < 2 || work.tool === 'brush') return null;
    if (work.tool === 'box') return { points: corners(...work.points), width: 0, closed: true };
    if (work.tool === 'lasso') return { points: work.points, width: 0, closed: true };
    return { points: work.points, width: this.size, closed: false };
  }

  #shape({ tool, points }) {
    if (tool === 'lasso') return polygon(points);
    if (tool === 'box') return rectangle(points[0], points[1] ?? points[0]);
    if (tool === 'line') return this.#passage(points[0], points[1] ?? points[0]);
    return null;
  }

  #extend(from, to) {
    this.editor.painter.refresh(this.work.stroke.add(this.#passage(from, to)));
  }

  #passage(from, to) {
    return capsule(this.#tip(from), this.#tip(to), this.softness);
  }

  /** The brush at a point, {x, y, r}: thinner where a pen presses less. */
  #tip({ x, y, pressure = 1 }) {
    const size = Math.max(this.size * (LEAST_PRESSED + (1 - LEAST_PRESSED) * pressure), 1);
    if (size >= THIN) return { x, y, r: size / 2 };
    return { x: Math.floor(x) + 0.5, y: Math.floor(y) + 0.5, r: size / 2 };
  }

  /** Take the colour, or the label, of what lies at a point. */
  #pick(point) {
    const { editor } = this;
    const { picture, layers } = editor.sheet;
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) return;
    const drawn = (layers[this.layer === 'semantic' ? 'semantic' : 'color']).pixel(x, y);
    if (this.layer === 'semantic') {
      if (drawn[3]) editor.chooseLabel(hexOf(drawn));
      return;
    }
    const seen = editor.desk.showing ? editor.desk.shown : picture;
    editor.chooseColor((drawn[3] === FULL ? drawn : seen.pixel(x, y)).slice(0, 3));
  }
}

/** [255, 0, 0] -> "#ff0000". */
const hexOf = (rgb) => `#${[...rgb].slice(0, 3).map((value) => value.toString(16).padStart(2, '0')).join('')}`;
const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const corners = (a, b) => [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];

/** The end of a line at a multiple of 45 degrees, or of a square box. */
function straightened(start, end, tool) {
  const [dx, dy] = [end.x - start.x, end.y - start.y];
  if (tool === 'box') {
    const side = Math.max(Math.abs(dx), Math.abs(dy));
    return { ...end, x: start.x + side * Math.sign(dx), y: start.y + side * Math.sign(dy) };
  }
  const angle = (Math.round((Math.atan2(dy, dx) * 4) / Math.PI) * Math.PI) / 4;
  const length = dx * Math.cos(angle) + dy * Math.sin(angle);
  return { ...end, x: start.x + length * Math.cos(angle), y: start.y + length * Math.sin(angle) };
}
