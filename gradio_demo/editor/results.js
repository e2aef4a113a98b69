// What came back: the border between before and after, holding to compare, and the strip of results.

const MOST_RESULTS = 24;
const NUDGE = 0.05; // of the width, for one press of an arrow key on the border

class Results {
  constructor(editor) {
    this.editor = editor;
    this.find = (selector) => editor.root.querySelector(selector);
    this.border = this.find('.gf-border');
    this.#listenToBorder();
    this.#listenToCompare();
    this.find('.gf-strip').addEventListener('click', ({ target }) => {
      const button = target.closest('button');
      if (button) editor.desk.look(editor.sheet.strip[Number(button.dataset.at)]);
    });
  }

  #listenToBorder() {
    const { border, editor } = this;
    const moveTo = ({ clientX }) => {
      const { left, width } = editor.view.canvas.getBoundingClientRect();
      editor.desk.moveBorder((clientX - left) / width);
    };
    border.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      border.focus({ preventScroll: true });
      border.setPointerCapture(event.pointerId);
    });
    border.addEventListener('pointermove', (event) => {
      if (border.hasPointerCapture(event.pointerId)) moveTo(event);
    });
    border.addEventListener('keydown', (event) => {
      const steps = { ArrowLeft: -NUDGE, ArrowRight: NUDGE, Home: -1, End: 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      event.stopPropagation();
      editor.desk.moveBorder(editor.desk.split + steps[event.key]);
    });
  }

  #listenToCompare() {
    const button = this.find('[data-act=compare]');
    button.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      this.editor.desk.hold(true);
    });
    for (const type of ['pointerup', 'pointercancel', 'blur']) {
      button.addEventListener(type, () => this.editor.desk.hold(false));
    }
    button.addEventListener('keydown', ({ key }) => {
      if (key === ' ' || key === 'Enter') this.editor.desk.hold(true);
    });
    button.addEventListener('keyup', () => this.editor.desk.hold(false));
  }

  /** Show the state of the editor. */
  sync() {
    const { editor } = this;
    const { sheet, shown, showing, split, holding, canCompare } = editor.desk;
    const strip = sheet?.strip ?? [];
    this.find('.gf-foot').hidden = !sheet;
    this.find('[data-act=showResult]').disabled = !shown;
    this.find('[data-act=showResult]').setAttribute('aria-pressed', showing);
    this.find('[data-act=compare]').disabled = !canCompare;
    this.find('[data-act=use]').disabled = !canCompare || editor.busy;
    this.border.hidden = !showing || holding;
    this.border.style.left = `${100 * split}%`;
    this.border.setAttribute('aria-valuenow', Math.round(100 * split));
    this.find('.gf-left').hidden = !(holding || (showing && split > 0));
    this.find('.gf-right').hidden = !showing || holding || split >= 1;
    this.#syncDownload(shown);
    this.find('.gf-strip').hidden = strip.length < 2;
    this.#syncStrip(strip, shown ?? sheet?.picture);
  }

  /** A link that leads nowhere is one that cannot be used yet. */
  #syncDownload(shown) {
    const link = this.find('.gf-download');
    if (shown) Object.assign(link, { href: shown.href, download: shown.name });
    else link.removeAttribute('href');
    link.setAttribute('aria-disabled', !shown);
  }

  #syncStrip(strip, current) {
    const list = this.find('.gf-strip');
    const isShown = (picture, i) => list.children[i].of === picture && list.children[i].thumb === picture.thumb;
    if (list.childElementCount !== strip.length || !strip.every(isShown)) list.replaceChildren(...strip.map(stripButton));
    for (const button of list.children) button.setAttribute('aria-pressed', button.of === current);
  }
}

function stripButton(picture, at) {
  const button = document.createElement('button');
  const name = at ? words('resultNumber', { number: at }) : words('original');
  Object.assign(button, { type: 'button', title: name, of: picture, thumb: picture.thumb });
  button.setAttribute('aria-label', name);
  button.dataset.at = at;
  const canvas = document.createElement('canvas');
  if (picture.thumb) {
    Object.assign(canvas, { width: picture.thumb.width, height: picture.thumb.height });
    canvas.getContext('2d').drawImage(picture.thumb, 0, 0);
  }
  button.append(canvas);
  return button;
}

/** Add a result to a strip, which keeps the picture that it began with and the newest results. */
function addToStrip(strip, picture) {
  if (!strip.includes(picture)) strip.push(picture);
  while (strip.length > MOST_RESULTS + 1) strip.splice(1, 1)[0].forget();
}
