// Mouse, pen and fingers on the canvas: one draws, two fingers or the middle button move the view.

const ERASER_BUTTON = 5; // of a pen
const [LEFT, MIDDLE, RIGHT] = [0, 1, 2];
const WHEEL = 1 / 500; // how much a pixel of scrolling zooms, as an exponent of e
const PINCH = 5; // a trackpad's pinch comes as scrolling by few pixels, with Ctrl
const PER_LINE = 16; // pixels, for wheels that count in lines

class Pointers {
  constructor(editor) {
    const { canvas } = editor.view;
    Object.assign(this, { editor, canvas, mode: null, drawing: null, places: new Map() });
    const listen = (type, act, options) => canvas.addEventListener(type, act, options);
    listen('pointerdown', (event) => this.#down(event));
    listen('pointermove', (event) => this.#move(event));
    listen('pointerup', (event) => this.#up(event));
    listen('pointercancel', (event) => this.#lost(event));
    listen('pointerleave', () => editor.overlay.moveTo(null));
    listen('wheel', (event) => this.#wheel(event), { passive: false });
    // No menu, no selecting, and no scrolling by the middle button.
    for (const type of ['mousedown', 'contextmenu', 'auxclick']) listen(type, (event) => event.preventDefault());
  }

  #down(event) {
    const { editor } = this;
    this.canvas.focus({ preventScroll: true });
    if (!editor.sheet || editor.busy) return;
    this.#capture(event.pointerId);
    this.places.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.places.size === 2) {
      editor.hand.cancel(); // the first finger has drawn a dot already
      this.mode = 'pinch';
    } else if (this.places.size === 1) {
      this.#begin(event);
    }
  }

  #begin(event) {
    const { editor } = this;
    const { button, buttons, pointerId } = event;
    if (button === MIDDLE || editor.keys.space) {
      this.mode = 'pan';
    } else if ([LEFT, RIGHT, ERASER_BUTTON].includes(button)) {
      this.mode = 'draw';
      this.drawing = pointerId;
      const erase = button !== LEFT || Boolean(buttons & (1 << ERASER_BUTTON));
      editor.hand.begin(this.#point(event), { erase });
    }
  }

  #move(event) {
    const { editor } = this;
    const before = this.places.get(event.pointerId);
    if (editor.sheet && event.pointerType !== 'touch') editor.overlay.moveTo(editor.view.at(event));
    editor.keys.forgetPlace();
    if (!before) return;
    if (this.mode === 'pinch') return this.#pinch(event);
    this.places.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.mode === 'pan') {
      const { x, y } = editor.view.ratio;
      editor.view.panBy((event.clientX - before.x) * x, (event.clientY - before.y) * y);
    } else if (this.mode === 'draw' && this.drawing === event.pointerId) {
      const all = event.getCoalescedEvents?.() ?? [];
      const points = (all.length ? all : [event]).map((one) => this.#point(one));
      editor.hand.move(points, { straight: event.shiftKey });
    }
  }

  #up(event) {
    if (!this.places.delete(event.pointerId)) return;
    if (this.drawing === event.pointerId) {
      this.drawing = null;
      this.editor.hand.end();
    }
    // The finger that stays after a pinch draws nothing: it goes on moving the view.
    this.mode = this.places.size ? 'pan' : null;
  }

  /** The system took the pointer away: what was drawn stays, as after lifting it. */
  #lost(event) {
    this.#up(event);
    this.editor.overlay.moveTo(null);
  }

  #pinch(event) {
    if (!this.places.has(event.pointerId)) return;
    const { view } = this.editor;
    const before = spread([...this.places.values()]);
    this.places.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const now = spread([...this.places.values()]);
    const { x, y } = view.ratio;
    view.panBy((now.x - before.x) * x, (now.y - before.y) * y);
    view.zoomBy(now.distance / before.distance, view.onCanvas({ clientX: now.x, clientY: now.y }));
  }

  #wheel(event) {
    const { editor } = this;
    if (!editor.sheet) return; // then the page scrolls
    event.preventDefault();
    const pixels = event.deltaMode ? event.deltaY * PER_LINE : event.deltaY;
    const factor = Math.exp(-pixels * WHEEL * (event.ctrlKey ? PINCH : 1));
    editor.view.zoomBy(factor, editor.view.onCanvas(event));
    editor.overlay.moveTo(editor.view.at(event));
  }

  #point(event) {
    const pressure = event.pointerType === 'pen' && event.pressure ? event.pressure : 1;
    return { ...this.editor.view.at(event), pressure };
  }

  #capture(id) {
    try {
      this.canvas.setPointerCapture(id);
    } catch {
      // A pointer that was lifted meanwhile; its "pointerup" comes all the same.
    }
  }
}

/** The middle of two fingers and how far apart they are. */
function spread([a, b]) {
  return {
    x: (a.x + b.x) / 2,
    y: (a.y + b.y) / 2,
    distance: Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1),
  };
}
