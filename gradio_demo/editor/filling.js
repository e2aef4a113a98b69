// Fills as the editor sees them: what runs in Python, and fills that begin when the brush is lifted.
//
// A sheet's `wanted` is the version of its mask that was to be filled when the brush was lifted, and
// `asked` the one that was sent last. What is drawn while a fill runs is filled after it, with all
// that is masked by then; the result that comes between is kept, but not shown.

const AT_ONCE = 'gatefill-at-once'; // in localStorage

class Filling {
  constructor(editor) {
    Object.assign(this, { editor, running: new Set(), atOnce: recalled(AT_ONCE) === 'true' });
  }

  get isRunning() {
    return this.running.size > 0;
  }

  /** Whether the brush was lifted from a mask that was not sent yet. */
  get #isDue() {
    const { sheet } = this.editor;
    return Boolean(this.atOnce && sheet && sheet.wanted > sheet.asked);
  }

  toggle() {
    this.atOnce = !this.atOnce;
    remember(AT_ONCE, this.atOnce);
    this.editor.say(this.atOnce ? 'atOnceOn' : 'atOnceOff');
    this.editor.publish();
  }

  // ---- what runs ----

  /** A job of Python begins, "fill" or another; resolves to what it is to get. */
  async begin(job) {
    const { sheet } = this.editor;
    if (job === 'fill' && sheet) sheet.asked = sheet.layers.mask.version;
    this.#mark(job, true);
    try {
      return await this.editor.sending.flush();
    } catch (problem) {
      if (sheet) sheet.wanted = 0; // or it would be tried for ever
      this.#mark(job, false);
      throw problem;
    }
  }

  /** A job has ended, in whatever way. */
  end(job) {
    this.#mark(job, false);
    this.#soon();
  }

  /** Ask Python to end what runs. */
  stop() {
    this.editor.sending.trigger('cancel');
  }

  /** The visitor ends all, and does not want the rest filled either; `end` follows for each job. */
  stopped() {
    for (const sheet of this.editor.desk.sheets) sheet.wanted = 0;
  }

  #mark(job, runs) {
    if (runs) this.running.add(job);
    else this.running.delete(job);
    this.show();
  }

  /** Show what runs; buttons of the page that end it can be pressed meanwhile. */
  show() {
    for (const button of document.querySelectorAll('.gf-while-running')) button.disabled = !this.isRunning;
    this.editor.publish();
  }

  /** Begin what is due, once all that belongs to this moment is done. */
  #soon() {
    setTimeout(() => {
      if (this.#isDue && !this.running.has('fill')) this.editor.run();
    });
  }

  // ---- drawing ----

  /** The brush comes down on the mask; where a result is shown, what takes it for the picture. */
  touched() {
    const { desk } = this.editor;
    return this.atOnce && desk.showing && desk.canCompare ? desk.trial() : null;
  }

  /** The brush was lifted, and the mask has grown. */
  lifted() {
    if (!this.atOnce) return;
    const { sheet } = this.editor;
    sheet.wanted = sheet.layers.mask.version;
    this.#soon();
  }

  /** The mask was changed otherwise: what is being filled at once is not what is masked now. */
  changed() {
    const { sheet } = this.editor;
    if (!this.atOnce || !sheet || !this.running.has('fill')) return;
    if (sheet.layers.mask.isBlank()) this.stop();
    else sheet.wanted = sheet.layers.mask.version;
  }

  /** Whether what is masked now is to be filled after a fill of that version of a sheet's mask. */
  isOld(sheet, version) {
    return this.atOnce && sheet.wanted > Number(version);
  }
}

/** What was remembered, or null: some browsers have no such memory in private windows. */
function recalled(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it is off at the next visit.
  }
}
