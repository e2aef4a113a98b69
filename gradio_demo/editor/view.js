// Where the picture is on the screen. A scale is in pixels of the screen for one of the picture, and
// (x, y) is where the picture's corner is, in pixels of the screen from that of the canvas.

const MOST_SCALE = 64;
const LEAST_SHOWN = 48; // pixels of the screen of the picture that panning leaves in sight

class View {
  /** onChange() is told when anything of it changed. */
  constructor(canvas, onChange) {
    Object.assign(this, { canvas, onChange, scale: 1, x: 0, y: 0, width: 0, height: 0 });
    this.fitting = true; // whether the picture is to fit again when the canvas changes its size
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  /** Pixels of the canvas for one of CSS, across and down. */
  get ratio() {
    const { width, height } = this.canvas.getBoundingClientRect();
    return { x: this.canvas.width / width, y: this.canvas.height / height };
  }

  /** A pointer's place in pixels of the canvas. */
  onCanvas({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const { x, y } = this.ratio;
    return { x: (clientX - left) * x, y: (clientY - top) * y };
  }

  /** A pointer's place in pixels of the picture: the exact inverse of what is painted. */
  at(event) {
    const { x, y } = this.onCanvas(event);
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  /** A place of the picture in pixels of the canvas. */
  onScreen({ x, y }) {
    return { x: this.x + x * this.scale, y: this.y + y * this.scale };
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return; // in a hidden tab; it is observed again when it is shown
    const wanted = [width, height].map((side) => Math.max(Math.round(side * devicePixelRatio), 1));
    if (wanted[0] === this.canvas.width && wanted[1] === this.canvas.height) return;
    const middle = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    [this.canvas.width, this.canvas.height] = wanted;
    if (this.fitting) this.fit();
    else this.place(this.scale, this.x + wanted[0] / 2 - middle.x, this.y + wanted[1] / 2 - middle.y);
  }

  /** Show a picture of that size, all of it. */
  show(width, height) {
    Object.assign(this, { width, height });
    this.fit();
  }

  fit() {
    const { canvas, width, height } = this;
    if (width) this.centre(Math.min(canvas.width / width, canvas.height / height, MOST_SCALE));
    this.fitting = true;
    this.onChange();
  }

  /** One pixel of the screen for one of the picture. */
  actual() {
    this.zoomTo(1, { x: this.canvas.width / 2, y: this.canvas.height / 2 });
  }

  centre(scale) {
    this.place(
      scale,
      (this.canvas.width - this.width * scale) / 2,
      (this.canvas.height - this.height * scale) / 2,
    );
  }

  /** Zoom by a factor; what lies at the pixel `anchor` of the canvas stays there. */
  zoomBy(factor, anchor = { x: this.canvas.width / 2, y: this.canvas.height / 2 }) {
    this.zoomTo(this.scale * factor, anchor);
  }

  zoomTo(wanted, anchor) {
    const fitted = Math.min(this.canvas.width / this.width, this.canvas.height / this.height);
    const scale = clamp(wanted, Math.min(fitted, 1) / 2, MOST_SCALE);
    const moved = scale / this.scale;
    this.place(scale, anchor.x - (anchor.x - this.x) * moved, anchor.y - (anchor.y - this.y) * moved);
  }

  /** Move by pixels of the canvas. */
  panBy(dx, dy) {
    this.place(this.scale, this.x + dx, this.y + dy);
  }

  place(scale, x, y) {
    const [across, down] = [this.width * scale, this.height * scale];
    this.scale = scale;
    this.x = clamp(x, LEAST_SHOWN - across, this.canvas.width - LEAST_SHOWN);
    this.y = clamp(y, LEAST_SHOWN - down, this.canvas.height - LEAST_SHOWN);
    this.fitting = false;
    this.onChange();
  }
}
