// The buttons and sliders round the canvas: what they do, and how they show the editor's state.

const SLIDER = 100; // steps of the sliders; that of the size is logarithmic

class Bars {
  constructor(editor) {
    this.editor = editor;
    this.root = editor.root;
    localise(this.root);
    this.root.addEventListener('click', (event) => this.#click(event));
    this.#slider('.gf-size', (value) => editor.resizeBrush(editor.hand.mostSize ** (value / SLIDER)));
    this.#slider('.gf-softness', (value) => editor.soften(value / SLIDER));
    this.#slider('.gf-opacity', (value) => editor.fade(value / SLIDER));
    this.find('.gf-exact').onchange = ({ target }) => editor.resizeBrush(Number(target.value) || 1);
    this.find('.gf-color').oninput = ({ target }) => editor.chooseColor(rgbOf(target.value));
    this.find('.gf-labels').addEventListener('keydown', (event) => this.#labelKey(event));
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  #slider(selector, act) {
    this.find(selector).oninput = ({ target }) => act(Number(target.value));
  }

  #click({ target }) {
    const button = target.closest('button');
    if (!button || button.disabled) return;
    const { act, tool, choose, hide, label } = button.dataset;
    const { editor } = this;
    if (tool) editor.chooseTool(tool);
    else if (choose) editor.chooseLayer(choose);
    else if (hide) editor.hide(hide);
    else if (button.matches('[role=radio]')) editor.chooseLabel(label);
    else if (act) ACTIONS[act]?.(editor);
  }

  /** Arrow keys go from label to label, as in any group of choices. */
  #labelKey(event) {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const all = [...this.root.querySelectorAll('.gf-labels button')];
    const next = all[(all.indexOf(event.target) + way + all.length) % all.length];
    this.editor.chooseLabel(next.dataset.label);
    next.focus();
  }

  /** Make the buttons of the labels anew. */
  setPalette(palette) {
    this.find('.gf-labels').replaceChildren(
      ...palette.map(([name, color]) => {
        const button = document.createElement('button');
        Object.assign(button, { type: 'button', title: name });
        button.setAttribute('role', 'radio');
        button.dataset.label = color;
        const dot = document.createElement('i');
        dot.className = 'gf-dot';
        dot.style.background = color;
        button.append(dot, name);
        return button;
      }),
    );
  }

  /** Show the state of the editor. */
  sync() {
    const { editor } = this;
    const { hand, layer, history, sheet, busy, filling } = editor;
    this.#press('[data-tool]', (button) => button.dataset.tool === hand.tool);
    this.#press('[data-choose]', (button) => button.dataset.choose === layer);
    for (const part of this.root.querySelectorAll('.gf-layer')) {
      const name = part.dataset.layer;
      part.hidden = !editor.taken.includes(name);
      part.classList.toggle('gf-off', editor.hidden.has(name));
      part.classList.toggle('gf-chosen', name === layer);
      const eye = part.querySelector('[data-hide]');
      eye.setAttribute('aria-pressed', editor.hidden.has(name));
      eye.querySelector('use').setAttribute('href', editor.hidden.has(name) ? '#gf-shut' : '#gf-eye');
    }
    this.#disable('undo', busy || !history.done.length);
    this.#disable('redo', busy || !history.undone.length);
    for (const act of ['clear', 'invert', 'upload', 'save', 'zoomIn', 'zoomOut', 'actual', 'fit']) {
      this.#disable(act, busy || !sheet);
    }
    this.find('[data-act=invert]').hidden = layer !== 'mask';
    this.#press('[data-act=atOnce]', () => filling.atOnce);
    this.#welcome(!sheet);
    this.#syncValues();
    this.#syncColours();
  }

  /** Show how large the picture is shown. */
  scaled(percent) {
    const button = this.find('.gf-scale');
    button.textContent = percent;
    button.setAttribute('aria-label', `${percent}, ${words('actual')}`);
  }

  /** Show or hide the welcome; the focus does not get lost with it. */
  #welcome(is) {
    const welcome = this.find('.gf-welcome');
    const hadFocus = welcome.contains(document.activeElement);
    welcome.hidden = !is;
    if (!is && hadFocus) this.editor.view.canvas.focus({ preventScroll: true });
  }

  /** Show or hide what there is no room for on a phone. */
  unfold() {
    const is = this.root.classList.toggle('gf-unfolded');
    this.find('[data-act=more]').setAttribute('aria-expanded', is);
  }

  #syncValues() {
    const { hand, opacity, layer } = this.editor;
    this.find('.gf-size').value = (Math.log(hand.size) / Math.log(hand.mostSize)) * SLIDER;
    this.find('.gf-exact').value = hand.size;
    this.find('.gf-exact').max = hand.mostSize;
    this.find('.gf-softness').value = hand.softness * SLIDER;
    this.find('.gf-softness').disabled = hand.isHard;
    this.find('.gf-soft').classList.toggle('gf-idle', hand.isHard);
    this.find('.gf-opacity').value = opacity[layer] * SLIDER;
    for (const range of this.root.querySelectorAll('input[type=range]')) {
      range.setAttribute('aria-valuetext', valueText(range, hand));
    }
  }

  #syncColours() {
    const { hand, layer, palette } = this.editor;
    const chosen = hexOf(hand.color);
    const dots = { ...TINTS, color: chosen, semantic: hand.label ? hexOf(hand.label) : '#888' };
    for (const name of LAYERS) {
      this.find(`[data-choose=${name}] .gf-dot`).style.background = dots[name];
    }
    this.find('.gf-color').value = chosen;
    this.find('.gf-color').hidden = layer !== 'color';
    this.find('.gf-labels').hidden = layer !== 'semantic' || !palette.length;
    const label = hand.label && hexOf(hand.label);
    for (const button of this.root.querySelectorAll('.gf-labels button')) {
      const isChosen = button.dataset.label === label;
      button.setAttribute('aria-checked', isChosen);
      button.tabIndex = isChosen ? 0 : -1;
    }
  }

  #press(selector, isPressed) {
    for (const button of this.root.querySelectorAll(selector)) {
      button.setAttribute('aria-pressed', isPressed(button));
    }
  }

  #disable(act, off) {
    for (const button of this.root.querySelectorAll(`[data-act=${act}]`)) button.disabled = off;
  }
}

/** What the buttons do that choose neither tool nor layer. */
const ACTIONS = {
  open: (editor) => editor.openInput.click(),
  camera: (editor) => editor.bars.find('.gf-camera-file').click(),
  undo: (editor) => editor.step(true),
  redo: (editor) => editor.step(false),
  zoomIn: (editor) => editor.view.zoomBy(STEP),
  zoomOut: (editor) => editor.view.zoomBy(1 / STEP),
  actual: (editor) => editor.view.actual(),
  fit: (editor) => editor.view.fit(),
  full: ({ root }) => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.()),
  help: (editor) => editor.help.showModal(),
  samples: (editor) => editor.samples.open(),
  more: (editor) => editor.bars.unfold(),
  atOnce: (editor) => editor.filling.toggle(),
  clear: (editor) => editor.clear(),
  invert: (editor) => editor.invert(),
  upload: (editor) => editor.bars.find('.gf-layer-file').click(),
  save: (editor) => editor.working(() => editor.desk.saveLayer(editor.layer)),
  showResult: (editor) => editor.desk.show(!editor.desk.showing),
  use: (editor) => editor.working(() => editor.desk.use()),
  goOn: (editor) => editor.desk.goOn(),
  forget: (editor) => editor.desk.forget(),
};

/** A slider's value as people say it. */
function valueText(range, hand) {
  return range.matches('.gf-size') ? `${hand.size} px` : `${range.value} %`;
}

/** Put the words of the visitor's language in. */
function localise(root) {
  root.lang = LANGUAGE;
  for (const part of [root, ...root.querySelectorAll('[data-word], [data-title], [data-label], [data-hide]')]) {
    const { word, title, label, keys, hide } = part.dataset;
    const text = hide ? words('hide', { layer: words(hide) }) : title && words(title);
    if (word) part.textContent = words(word);
    if (label in WORDS) part.setAttribute('aria-label', words(label));
    if (text) part.setAttribute('aria-label', text);
    if (text) part.title = keys ? `${text} (${keys})` : text;
  }
}
