// The editor: its state, and everything that can be done to it. Runs once for each editor on a page,
// as the body of Gradio's `js_on_load`: (element, trigger, props, server, upload, watch).

const OPACITY = { mask: 0.55, sketch: 1, color: 1, semantic: 0.6 };

class Editor {
  constructor(root, gradio) {
    this.root = root;
    Object.assign(this, { layer: 'mask', accepts: ['mask'], palette: [] });
    Object.assign(this, { hidden: new Set(), opacity: { ...OPACITY } });
    Object.assign(this, { busy: false, queue: Promise.resolve(), history: new History() });
    this.desk = new Desk(this);
    this.help = root.querySelector('.gf-help');
    this.openInput = root.querySelector('.gf-open-file');
    this.filling = new Filling(this);
    this.hand = new Hand(this);
    this.view = new View(root.querySelector('.gf-view'), () => this.#moved());
    this.painter = new Painter(this, this.view.canvas);
    this.overlay = new Overlay(this, root.querySelector('.gf-over'));
    this.keys = new Keys(this);
    this.pointers = new Pointers(this);
    this.bars = new Bars(this);
    this.results = new Results(this);
    this.keeper = new Keeper(this);
    this.sending = new Sending(this, gradio);
    this.samples = new Samples(this, gradio);
    listenForFiles(this);
    this.publish();
  }

  /** The picture that is drawn on, with its layers; null before one is opened. */
  get sheet() {
    return this.desk.sheet;
  }

  // ---- what is said ----

  say(key, values = {}) {
    this.#tell(words(key, values));
  }

  /** Say what went wrong; a Problem is the visitor's, anything else is also for the console. */
  complain(problem) {
    const known = problem instanceof Problem;
    if (!known) console.error(problem);
    this.#tell(known ? problem.message : words('failed', { why: problem?.message ?? problem }));
    this.root.dataset.error = problem.key ?? 'failed';
  }

  #tell(text) {
    delete this.root.dataset.error;
    this.root.querySelector('.gf-status').textContent = text;
  }

  /** Show the state: on the buttons, and as data-* for whoever watches. */
  publish() {
    const { root, sheet, history, hand, desk } = this;
    Object.assign(root.dataset, {
      ready: sheet ? 1 : 0,
      size: sheet ? `${sheet.picture.width}x${sheet.picture.height}` : '',
      picture: sheet?.picture.name ?? '',
      layer: this.layer,
      layers: this.taken.join(' '),
      hidden: [...this.hidden].join(' '),
      tool: hand.tool,
      brush: hand.size,
      softness: hand.softness,
      undo: history.done.length,
      redo: history.undone.length,
      undoBytes: history.bytes,
      results: (sheet?.strip.length ?? 1) - 1,
      showing: desk.showing,
      holding: desk.holding,
      split: desk.split,
      busy: this.busy,
      running: [...this.filling.running].join(' '),
      atonce: this.filling.atOnce,
    });
    this.bars.sync();
    this.results.sync();
  }

  #moved() {
    if (!this.overlay) return; // while it is being made
    const { scale, x, y } = this.view;
    Object.assign(this.root.dataset, { scale, x, y });
    this.bars?.scaled(`${Math.round(100 * scale)}%`);
    this.painter.refresh();
    this.overlay.draw();
  }

  /**
   * Do something that takes its time, after what was begun before it: meanwhile nothing is drawn.
   * Problems are shown.
   */
  working(act) {
    const busy = (is) => {
      this.busy = is;
      this.publish();
    };
    this.queue = this.queue.then(async () => {
      busy(true);
      try {
        await act();
      } catch (problem) {
        this.complain(problem);
      }
      busy(false);
    });
    return this.queue;
  }

  // ---- layers and tools ----

  /** The layers that the network takes, in their order. */
  get taken() {
    return LAYERS.filter((name) => name === 'mask' || this.accepts.includes(name));
  }

  accept(names) {
    this.accepts = [...names];
    if (!this.taken.includes(this.layer)) this.layer = 'mask';
    this.painter.refresh();
    this.publish();
  }

  setPalette(palette) {
    this.palette = palette.map(([name, color]) => [name, color.toLowerCase()]);
    const chosen = this.hand.label && hexOf(this.hand.label);
    if (!this.palette.some(([, color]) => color === chosen)) this.hand.label = rgbOf(this.palette[0][1]);
    this.bars.setPalette(this.palette);
    this.publish();
  }

  chooseLayer(name) {
    if (!this.taken.includes(name)) return this.complain(new Problem('notTaken', { layer: words(name) }));
    this.layer = name;
    this.#chosen(words(name));
  }

  chooseTool(tool) {
    this.hand.cancel();
    if (tool === 'pipette' && this.hand.tool !== 'pipette') this.hand.lastTool = this.hand.tool;
    this.hand.tool = tool;
    this.#chosen(words(tool));
  }

  chooseColor(rgb) {
    this.hand.color = [...rgb];
    this.#chosen(hexOf(rgb));
  }

  chooseLabel(color) {
    const found = this.palette.find(([, one]) => one === color);
    if (!found) return;
    this.hand.label = rgbOf(color);
    this.#chosen(found[0]);
  }

  resizeBrush(size) {
    this.hand.size = size;
    this.#chosen(`${words('size')} ${this.hand.size}`);
  }

  soften(softness) {
    this.hand.softness = softness;
    this.#chosen(`${words('softness')} ${Math.round(100 * this.hand.softness)} %`);
  }

  #chosen(what) {
    this.#tell(what);
    this.overlay.draw();
    this.publish();
  }

  hide(name) {
    const layer = words(name);
    if (this.hidden.delete(name)) this.say('shown', { layer });
    else {
      this.hidden.add(name);
      this.say('hidden', { layer });
    }
    this.painter.refresh();
    this.publish();
  }

  fade(opacity) {
    this.opacity[this.layer] = opacity;
    this.painter.refresh();
    this.publish();
  }

  /** Nothing is drawn or changed out of sight: a layer, and the drawing at all, is shown. */
  reveal(name) {
    const wasHidden = this.hidden.delete(name);
    if (wasHidden || this.desk.showing) this.desk.show(false);
  }

  /** Keep what was done, for undo. */
  record(entry) {
    this.history.push(entry);
    this.keeper.touch();
    this.publish();
  }

  /** A layer is another one as a whole; `tiles` is what undo needs. */
  replaced(name, tiles, said) {
    this.reveal(name);
    if (tiles.length) this.record({ what: name, tiles, sheet: null });
    this.say(said, { layer: words(name) });
    this.painter.refresh();
  }

  clear() {
    const layer = this.sheet.layers[this.layer];
    const tiles = [...layer.tiles.keys()].map((index) => ({ layer, index, packed: pack(layer.read(index)) }));
    for (const { index } of tiles) layer.remove(index);
    this.replaced(this.layer, tiles, 'cleared');
    this.filling.changed();
  }

  /** Mask what is not masked, and nothing else. */
  invert() {
    this.hand.cancel();
    return this.working(() => {
      if (!this.sheet) throw new Problem('noPicture');
      this.replaced('mask', invert(this.sheet.layers.mask), 'inverted');
      this.filling.changed();
    });
  }

  /** Undo if `back`, otherwise redo. */
  step(back) {
    if (this.hand.cancel()) return this.say('cancelled');
    return this.working(async () => {
      const entry = await this.desk.step(back);
      if (!entry) return;
      if (!entry.sheet) this.reveal(entry.what);
      this.say(back ? 'undone' : 'redone', { what: words(entry.what) });
      this.painter.refresh(entry.sheet ? null : boxOfTiles(entry.tiles));
      this.filling.changed();
      this.keeper.touch();
    });
  }

  /** Ask Python to fill. */
  run() {
    if (this.sheet) this.sending.trigger('run');
    else this.complain(new Problem('noPicture'));
  }
}
