// The photo on the screen: its scale, and where a pointer is in it.

const MOST_ZOOM = 16;
const MOST_ENLARGED = 2; // a small photo is not blown up beyond this to fit

export class View {
  constructor(viewport, stage, onZoom) {
    Object.assign(this, { viewport, stage, onZoom, zoom: 1, width: 1, height: 1 });
    new ResizeObserver(() => this.layout()).observe(viewport);
  }

  show(width, height) {
    Object.assign(this, { width, height, zoom: 1 });
    this.layout();
  }

  /** CSS pixels for one pixel of the photo. */
  get scale() {
    const style = getComputedStyle(this.viewport);
    const room = {
      width: this.viewport.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
      height: this.viewport.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom),
    };
    const fit = Math.min(room.width / this.width, room.height / this.height, MOST_ENLARGED);
    return Math.max(fit, 1 / Math.max(this.width, this.height)) * this.zoom;
  }

  layout() {
    const scale = this.scale;
    this.stage.style.width = `${this.width * scale}px`;
    this.stage.style.height = `${this.height * scale}px`;
    this.onZoom(scale);
  }

  /** Zoom by a factor; what lies at the screen position (x, y) stays there. */
  zoomBy(factor, x, y) {
    const old = this.stage.getBoundingClientRect();
    const middle = this.viewport.getBoundingClientRect();
    x ??= middle.left + middle.width / 2;
    y ??= middle.top + middle.height / 2;
    const [u, v] = [(x - old.left) / old.width, (y - old.top) / old.height];
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    this.layout();
    const now = this.stage.getBoundingClientRect();
    this.viewport.scrollBy(now.left + u * now.width - x, now.top + v * now.height - y);
  }

  /** The position of a pointer event in pixels of the photo. */
  at({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return [
      ((clientX - box.left) * this.width) / box.width,
      ((clientY - box.top) * this.height) / box.height,
    ];
  }
}
