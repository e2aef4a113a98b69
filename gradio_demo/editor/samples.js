// The pictures to begin with: small ones to choose by, each with its task. Python loads what is chosen.

class Samples {
  /** props.samples: [{name, captions in the order of LANGUAGES, picture: a data URL}, ...]. */
  constructor(editor, { props }) {
    this.editor = editor;
    this.dialog = editor.bars.find('.gf-pick');
    const all = props.samples ?? [];
    for (const place of editor.root.querySelectorAll('.gf-samples')) {
      place.replaceChildren(...all.map((sample) => this.#button(sample)));
    }
    for (const part of editor.root.querySelectorAll('[data-act=samples], .gf-samples, .gf-or')) {
      part.hidden = !all.length;
    }
    // A click beside the dialog is one on its backdrop.
    this.dialog.addEventListener('click', ({ target }) => target === this.dialog && this.dialog.close());
  }

  #button({ name, captions, picture }) {
    const caption = captions[LANGUAGES.indexOf(LANGUAGE)];
    const button = Object.assign(document.createElement('button'), { type: 'button' });
    button.dataset.sample = name;
    button.append(Object.assign(new Image(), { src: picture, alt: '' }), caption);
    button.addEventListener('click', () => this.#choose(name, caption));
    return button;
  }

  #choose(name, caption) {
    this.dialog.close();
    this.editor.view.canvas.focus({ preventScroll: true }); // so that Enter fills
    this.editor.say('opening', { name: caption });
    this.editor.sending.trigger('sample', { name });
  }

  open() {
    this.dialog.showModal();
  }
}
