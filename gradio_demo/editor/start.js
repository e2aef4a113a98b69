// Files from the visitor, and the start of it all.

/** The first picture among files that were dropped or pasted. */
const pictureIn = (transfer) => [...(transfer?.files ?? [])].find(({ type }) => type.startsWith('image/'));

function listenForFiles(editor) {
  const { root } = editor;
  const choose = (selector, act) => {
    const input = root.querySelector(selector);
    input.onchange = () => {
      const [file] = input.files;
      if (file) act(file);
      input.value = ''; // the same file may be chosen again
    };
  };
  choose('.gf-open-file', (file) => editor.desk.openFile(file));
  choose('.gf-camera-file', (file) => editor.desk.openFile(file));
  choose('.gf-layer-file', (file) => {
    const { sheet, layer } = editor;
    editor.working(async () => {
      await editor.desk.loadLayer(sheet, layer, file, file.name);
      editor.filling.changed();
    });
  });
  root.addEventListener('dragover', (event) => {
    event.preventDefault();
    root.classList.add('gf-dropping');
  });
  root.addEventListener('dragleave', (event) => {
    if (!root.contains(event.relatedTarget)) root.classList.remove('gf-dropping');
  });
  root.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove('gf-dropping');
    const file = pictureIn(event.dataTransfer) ?? event.dataTransfer.files[0];
    if (file) editor.desk.openFile(file);
  });
  listenForPaste(editor);
}

/** A picture that is pasted anywhere on the page, but into a text box, while the editor is in sight. */
function listenForPaste(editor) {
  const paste = (event) => {
    if (!editor.root.isConnected) return document.removeEventListener('paste', paste);
    const file = pictureIn(event.clipboardData);
    if (!file || isWriting(event.target) || !editor.root.offsetParent) return;
    event.preventDefault();
    editor.desk.openFile(file);
  };
  document.addEventListener('paste', paste);
}

/** Tell the style sheet how far down the page the editor begins: it is as high as the window from there. */
function keepToWindow(root) {
  const measure = () => {
    if (!root.offsetParent || document.fullscreenElement) return; // in a hidden tab
    root.style.setProperty('--gf-top', `${Math.round(root.getBoundingClientRect().top + scrollY)}px`);
  };
  new ResizeObserver(measure).observe(root);
  addEventListener('resize', measure);
  measure();
}

/** Let the browser save a file. */
function giveAway(file) {
  const href = URL.createObjectURL(file);
  Object.assign(document.createElement('a'), { href, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

const editor = new Editor(element.querySelector('.gf-editor'), { upload, props, trigger, watch, server });
keepToWindow(editor.root);
editor.filling.show();
window.gatefill = {
  // for the scripts of canvas.py
  flush: () => editor.sending.flush(),
  begin: (job) => editor.filling.begin(job),
  end: (job) => editor.filling.end(job),
  stopped: () => editor.filling.stopped(),
};
editor.sending.receive(props.value).then(() => editor.desk.offerDraft());
