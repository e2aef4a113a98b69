// The drawing is kept in this browser, so that a reload or a crash does not take it away.
//
// One draft, in IndexedDB: {name, picture, layers: {name: PNG}}. Browsers refuse it in private
// windows; then there is no draft, and all else works as ever.

const IDLE = 1500; // milliseconds without a change before the draft is written
const DATABASE = 'gatefill';
const STORE = 'drafts';
const LAST = 'last';

class Keeper {
  constructor(editor) {
    Object.assign(this, { editor, timer: null });
  }

  /** Write the draft soon. */
  touch() {
    clearTimeout(this.timer);
    delete this.editor.root.dataset.kept;
    this.timer = setTimeout(() => this.#write().catch(reportDraft), IDLE);
  }

  async #write() {
    const { sheet, root } = this.editor;
    const layers = {};
    for (const name of LAYERS) {
      if (!sheet.layers[name].isBlank()) layers[name] = await sheet.layers[name].encoded();
    }
    const { name } = sheet.picture;
    await inStore('readwrite', (store) => store.put({ name, picture: sheet.picture.blob, layers }, LAST));
    root.dataset.kept = Object.keys(layers).join(' ');
  }

  /** The draft of the last visit, or null. */
  async draft() {
    try {
      return (await inStore('readonly', (store) => store.get(LAST))) ?? null;
    } catch (problem) {
      reportDraft(problem);
      return null;
    }
  }

  forget() {
    return inStore('readwrite', (store) => store.delete(LAST)).catch(reportDraft);
  }
}

/** A draft is a comfort: where it cannot be kept, that is for the console only. */
function reportDraft(problem) {
  console.info(`no draft is kept: ${problem}`);
}

/** Do something with the store; resolves to what its request gives. */
async function inStore(mode, act) {
  const database = await settled(
    Object.assign(indexedDB.open(DATABASE), {
      onupgradeneeded: (event) => event.target.result.createObjectStore(STORE),
    }),
  );
  try {
    const transaction = database.transaction(STORE, mode);
    const result = await settled(act(transaction.objectStore(STORE)));
    await new Promise((done, failed) => {
      transaction.oncomplete = done;
      transaction.onerror = transaction.onabort = () => failed(transaction.error);
    });
    return result;
  } finally {
    database.close();
  }
}

function settled(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}
