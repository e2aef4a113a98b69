// Pointer and keys on the painting area become strokes; two fingers zoom and move the photo.

const STEP = 0.4; // of the brush, for one press of an arrow key

export class Brush {
  /**
   * tool(): {tool, size, tint}, with the size in CSS pixels, or null when nothing may be painted;
   * extend(stroke) is to draw what is new of a stroke, onStroke(stroke) is given every finished one,
   * onCancel() is told to draw what was there before.
   */
  constructor({ pad, cursor, view, tool, extend, onStroke, onCancel }) {
    Object.assign(this, { pad, cursor, view, tool, extend, onStroke, onCancel });
    this.stroke = null;
    this.fingers = new Map();
    this.place = null; // where the cursor is, in pixels of the photo
    pad.addEventListener('pointerdown', (event) => this.#down(event));
    pad.addEventListener('pointermove', (event) => this.#move(event));
    for (const end of ['pointerup', 'pointercancel']) {
      pad.addEventListener(end, (event) => this.#up(event));
    }
    pad.addEventListener('pointerleave', () => this.#hover(null));
    pad.addEventListener('keydown', (event) => this.#key(event));
    pad.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  /** Show the cursor anew, as its size changed. */
  refresh() {
    this.#hover(this.place);
  }

  #down(event) {
    if (event.pointerType === 'touch') {
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (this.fingers.size > 1) return this.#cancel();
    }
    const tool = this.tool();
    if (!tool || this.stroke || (event.button !== 0 && event.button !== 5)) return;
    this.pad.setPointerCapture(event.pointerId);
    const rubber = event.button === 5; // the other end of a pen
    this.stroke = { ...this.#pen(tool), points: [this.view.at(event)], id: event.pointerId };
    if (rubber) this.stroke.tool = 'eraser';
    this.extend(this.stroke);
  }

  #pen({ tool, size, tint }) {
    return { kind: 'stroke', tool, size: size / this.view.scale, tint, parts: [] };
  }

  #move(event) {
    if (event.pointerType !== 'touch') this.#hover(this.view.at(event));
    if (this.fingers.size > 1) return this.#pinch(event);
    if (this.stroke?.id !== event.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.stroke.points.push(this.view.at(one));
    this.extend(this.stroke);
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
    if (this.stroke?.id !== event.pointerId) return;
    const stroke = this.stroke;
    this.stroke = null;
    this.onStroke(stroke);
  }

  #cancel() {
    if (this.stroke) this.onCancel();
    this.stroke = null;
  }

  #pinch({ pointerId, clientX, clientY }) {
    if (!this.fingers.has(pointerId)) return;
    const before = spread(this.fingers);
    this.fingers.set(pointerId, [clientX, clientY]);
    const now = spread(this.fingers);
    this.view.viewport.scrollBy(before.x - now.x, before.y - now.y);
    this.view.zoomBy(now.distance / before.distance, now.x, now.y);
  }

  #hover(place) {
    this.place = place;
    const tool = this.tool();
    this.cursor.hidden = !place || !tool;
    if (this.cursor.hidden) return;
    const [x, y] = place.map((value) => value * this.view.scale - tool.size / 2);
    this.cursor.style.width = this.cursor.style.height = `${tool.size}px`;
    this.cursor.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** Arrow keys move the brush, space paints; held down together they draw a line of dabs. */
  #key(event) {
    const tool = this.tool();
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!tool || (!way && event.key !== ' ') || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { width, height, scale } = this.view;
    const [x, y] = this.place ?? [width / 2, height / 2];
    const step = Math.max((STEP * tool.size) / scale, 1);
    const [dx, dy] = way ?? [0, 0];
    this.#hover([
      Math.min(Math.max(x + dx * step, 0), width),
      Math.min(Math.max(y + dy * step, 0), height),
    ]);
    if (way) return;
    const dab = { ...this.#pen(tool), points: [this.place] };
    this.extend(dab);
    this.onStroke(dab);
  }
}

/** The middle of two fingers and how far apart they are. */
function spread(fingers) {
  const [a, b] = fingers.values();
  return {
    x: (a[0] + b[0]) / 2,
    y: (a[1] + b[1]) / 2,
    distance: Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1),
  };
}
