// What lies on the desk: the picture that is drawn on, and the result that is looked at.

const MOST_KEPT = 256e6; // bytes of files of pictures to go back to; older ones are fetched anew

class Desk {
  constructor(editor) {
    // left: the sheet that is drawn on no more if the stroke on the result is not taken back.
    Object.assign(this, { editor, sheet: null, draft: null, left: null });
    // split: how much of the canvas, from the left, shows the picture before.
    Object.assign(this, { shown: null, showing: false, holding: false, split: 0 });
  }

  // ---- pictures ----

  /** Open a file that the visitor gave; layers: files by name. */
  async openFile(file, layers = {}) {
    const { editor } = this;
    await editor.working(async () => {
      const name = file.name || 'picture.png';
      editor.say('opening', { name });
      await this.openPicture(new Picture({ name, blob: file }));
      for (const [layer, blob] of Object.entries(layers)) await this.loadLayer(this.sheet, layer, blob, layer);
    });
    if (this.sheet?.picture.blob === file) this.#announce();
  }

  /** Make a picture the one that is drawn on; undo brings the other one back. */
  async openPicture(picture) {
    await picture.decode();
    this.#changeTo(new Sheet(picture));
    const { name, width, height } = picture;
    this.editor.say('opened', { name, width, height });
  }

  #announce() {
    this.editor.sending.announce().catch(() => {}); // it has complained
  }

  #changeTo(sheet) {
    this.editor.hand.end();
    const before = this.sheet;
    this.#adopt(sheet);
    if (before) this.editor.record({ what: 'picture', tiles: [], sheet: before });
  }

  /** Undo or redo a step, and tell Python if the picture changed; the step, or null. */
  async step(back) {
    const entry = await this.editor.history.step(back, async (sheet) => {
      await sheet.picture.decode();
      const before = this.sheet;
      this.#adopt(sheet);
      return before;
    });
    if (entry?.sheet) this.#announce();
    return entry;
  }

  #adopt(sheet) {
    const { view, painter } = this.editor;
    const { width, height } = sheet.picture;
    Object.assign(this, { sheet, shown: null, showing: false, holding: false });
    if (width !== view.width || height !== view.height) view.show(width, height);
    this.#tidy();
    this.#smooth(sheet.picture);
    painter.refresh();
    this.editor.publish();
  }

  #smooth(picture) {
    picture.addLevels().then(() => this.editor.painter.refresh(), console.warn);
  }

  /** Decoded pixels are kept only of what can be seen, and files up to a sum. */
  #tidy() {
    let bytes = 0;
    const all = this.sheets.flatMap((sheet) => [sheet.picture, ...[...sheet.strip].reverse()]);
    for (const picture of new Set(all)) {
      if (picture === this.sheet.picture || picture === this.shown) continue;
      bytes += picture.blob?.size ?? 0;
      if (bytes > MOST_KEPT) picture.forget();
      else picture.release();
    }
  }

  /** All that are there or that undo can bring back. */
  get sheets() {
    return [this.sheet, this.left, ...this.editor.history.sheets].filter(Boolean);
  }

  /** The sheet called so, or the one there is if nothing is said; null if it is gone. */
  sheetOf(id) {
    return id ? (this.sheets.find((sheet) => sheet.id === id) ?? null) : this.sheet;
  }

  /** Put a file's picture into a layer of a sheet. */
  async loadLayer(sheet, name, blob, fileName) {
    const { editor } = this;
    const tiles = await readInto(sheet.layers[name], blob, fileName, editor.palette);
    editor.replaced(name, tiles, 'loaded');
  }

  async saveLayer(name) {
    giveAway(await layerFile(this.sheet.layers[name], this.sheet.picture.name));
  }

  /** Offer the drawing of the last visit, unless Python has set a picture. */
  async offerDraft() {
    this.draft = await this.editor.keeper.draft();
    if (!this.draft || this.sheet) return;
    const { bars } = this.editor;
    bars.find('[data-act=goOn]').textContent = words('goOn', { name: this.draft.name });
    bars.find('.gf-draft').hidden = false;
  }

  goOn() {
    const { name, picture, layers } = this.draft;
    return this.openFile(new File([picture], name, { type: picture.type }), layers);
  }

  async forget() {
    await this.editor.keeper.forget();
    this.editor.bars.find('.gf-draft').hidden = true;
  }

  // ---- results ----

  /** Pixels of the screen left of which the picture is shown, and right of which the result. */
  get border() {
    const { width } = this.editor.view.canvas;
    return this.showing && !this.holding ? Math.round(this.split * width) : width;
  }

  get canCompare() {
    return Boolean(this.shown && this.shown !== this.sheet.picture);
  }

  /** Put a result into a sheet's strip, and show it where people wait for it, unless it is `old`. */
  async addResult(sheet, picture, old = false) {
    addToStrip(sheet.strip, picture);
    this.editor.publish();
    if (old) return;
    if (await this.look(picture, sheet)) this.editor.say(sheet === this.sheet ? 'resultReady' : 'resultLate');
  }

  /** Look at a picture of a strip, unless meanwhile something else is done; false after a problem. */
  async look(picture, sheet = this.sheet) {
    this.wanted = picture;
    try {
      await picture.decode();
    } catch (problem) {
      this.editor.complain(problem);
      return false;
    }
    if (this.wanted === picture && sheet === this.sheet && !this.editor.hand.work) {
      Object.assign(this, { shown: picture, split: 0 });
      this.#smooth(picture);
      this.show(true);
    }
    this.#tidy();
    this.editor.publish();
    return true;
  }

  /** Show the result, or what is drawn. */
  show(is) {
    this.showing = is;
    this.editor.painter.refresh();
    this.editor.publish();
  }

  moveBorder(split) {
    this.split = clamp(split, 0, 1);
    this.editor.painter.refresh();
    this.editor.publish();
  }

  /** Show the picture before, without anything drawn, as long as something is held. */
  hold(is) {
    if (is === this.holding || (is && !this.canCompare)) return;
    this.holding = is;
    this.editor.painter.refresh();
    this.editor.publish();
  }

  /** Make the result the picture; what was drawn for it is done with, and undo brings all back. */
  use() {
    this.editor.hand.end();
    this.trial().settle();
    this.editor.say('used');
  }

  /** Draw on the result as on a picture of its own: to `settle`, or to `revoke` as if nothing had been. */
  trial() {
    const { shown, sheet, split, editor } = this;
    const { width, height } = sheet.picture;
    const kept = shown.width === width && shown.height === height ? { semantic: sheet.layers.semantic } : {};
    this.left = sheet; // so that a result that comes just now finds it
    this.#adopt(new Sheet(shown, { strip: sheet.strip, kept }));
    const settle = () => {
      this.left = null;
      editor.record({ what: 'picture', tiles: [], sheet });
      this.#announce();
    };
    const revoke = () =>
      editor.working(async () => {
        await sheet.picture.decode();
        this.left = null;
        this.#adopt(sheet);
        if (await this.look(shown)) this.moveBorder(split);
      });
    return { settle, revoke };
  }
}
