// What goes to Python and what comes from there. Files travel by Gradio's upload route, each once.
//
// The value is {picture, layers, result, accepts, palette, opened}, as canvas.py says. `opened` tells
// which picture, and which version of its mask, the rest belongs to: Python hands it back, and what
// comes too late is recognised.

class Sending {
  /**
   * upload(file): Gradio's, resolves to {path, url}; props.value: what Python sees; trigger(event);
   * server.preview(path): {path} of a PNG, or {error, picture}.
   */
  constructor(editor, { upload, props, trigger, watch, server }) {
    Object.assign(this, { editor, upload, props, trigger, server, count: 0 });
    Picture.previewOf = (picture) => this.#preview(picture);
    this.turn = Promise.resolve();
    this.known = new Set(); // paths of layers and results that were sent or received
    watch('value', () => this.receive(this.props.value));
  }

  /** Send what changed; the value for Python. Problems are shown, and thrown so that nothing runs. */
  flush() {
    const { sheet } = this.editor;
    const sent = this.turn.then(() => (sheet ? this.#send(sheet) : this.#value({})));
    this.turn = sent.catch(() => {});
    return sent.catch((problem) => {
      this.editor.complain(problem);
      throw problem;
    });
  }

  /** Tell Python that there is another picture. */
  async announce() {
    this.props.value = await this.flush();
    this.trigger('opened');
  }

  async #send(sheet) {
    const started = performance.now();
    const { version } = sheet.layers.mask;
    const picture = await this.#sendPicture(sheet.picture);
    const layers = [];
    for (const name of LAYERS) {
      const layer = sheet.layers[name];
      const used = this.editor.taken.includes(name) && !layer.isBlank();
      layers.push({ name, image: used ? await this.#sendLayer(layer) : null });
    }
    this.count += 1;
    this.editor.root.dataset.sentMs = Math.round(performance.now() - started);
    return this.#value({ picture, layers, opened: `${sheet.id} ${version} ${this.count}` });
  }

  #value({ picture = null, layers = [], opened = '' }) {
    const { accepts, palette } = this.editor;
    return { picture, layers, result: null, accepts, palette, opened };
  }

  async #sendPicture(picture) {
    if (!picture.file || !(await stillThere(picture.file, picture.sentAt))) {
      const file = new File([await picture.bytes()], picture.name, { type: picture.blob.type });
      Object.assign(picture, { file: await this.#upload(file), sentAt: Date.now() });
    }
    return picture.file;
  }

  /** A PNG that shows a picture; the server needs the file for it, and has it for the fill then. */
  async #preview(picture) {
    const { name } = picture;
    if (!this.server?.preview) throw new Problem('notPicture', { name });
    const { path, url } = await this.#sendPicture(picture);
    const failed = (problem) => ({ error: problem.message, picture: true });
    const made = await this.server.preview(path).catch(failed);
    if (made.error) throw new Problem(made.picture ? 'notShown' : 'notPicture', { name, why: made.error });
    const answer = await fetch(besides(url, made.path)).catch(failed);
    if (!answer.ok) throw new Problem('notShown', { name, why: answer.error ?? answer.status });
    return answer.blob();
  }

  async #sendLayer(layer) {
    const { version, sent } = layer;
    if (sent?.version === version && (await stillThere(sent.file, sent.at))) return sent.file;
    const blob = await layer.encoded();
    const file = await this.#upload(new File([blob], `${layer.name}.png`, { type: blob.type }));
    layer.sent = { version, file, at: Date.now() };
    this.known.add(file.path);
    return file;
  }

  async #upload(file) {
    const { name, size, type } = file;
    try {
      const { path, url } = await this.upload(file);
      return { path, url, orig_name: name, size, mime_type: type, meta: { _type: 'gradio.FileData' } };
    } catch (problem) {
      throw new Problem('notSent', { name, why: problem?.message ?? problem });
    }
  }

  /** Take what Python set: layers taken, labels, another picture, layers, a result. */
  async receive(value) {
    if (!value) return;
    const { editor } = this;
    if (value.accepts?.length) editor.accept(value.accepts);
    if (value.palette?.length) editor.setPalette(value.palette);
    const [id] = (value.opened ?? '').split(' ');
    await editor.working(async () => {
      const fresh = await this.#receivePicture(value.picture, id);
      const sheet = fresh ? editor.sheet : editor.desk.sheetOf(id);
      if (sheet && sheet === editor.sheet) await this.#receiveLayers(value.layers ?? [], sheet, fresh);
    });
    const sheet = editor.desk.sheetOf(id);
    if (value.result && sheet) await this.#receiveResult(value.result, sheet, value.opened);
  }

  /** Open a picture that is not the one there is; whether it did. */
  async #receivePicture(file, id) {
    const { sheet } = this.editor;
    if (!file || file.path === sheet?.picture.file?.path) return false;
    if (id && this.editor.desk.sheetOf(id)?.picture.file?.path === file.path) return false;
    await this.editor.desk.openPicture(new Picture({ name: nameOf(file), file }));
    return true;
  }

  async #receiveLayers(layers, sheet, fresh) {
    for (const { name, image } of layers) {
      if (!image || !sheet.layers[name] || (!fresh && this.known.has(image.path))) continue;
      this.known.add(image.path);
      const picture = new Picture({ name: nameOf(image), file: image });
      await this.editor.desk.loadLayer(sheet, name, await picture.bytes(), picture.name);
    }
  }

  async #receiveResult(file, sheet, opened) {
    const [, version] = (opened ?? '').split(' ');
    const old = this.editor.filling.isOld(sheet, version);
    const here = sheet.strip.find((picture) => picture.file?.path === file.path);
    if (here && this.lastResult === `${file.path} ${opened}`) return;
    this.lastResult = `${file.path} ${opened}`;
    await this.editor.desk.addResult(sheet, here ?? new Picture({ name: nameOf(file), file }), old);
  }
}

const nameOf = (file) => file.orig_name ?? file.path.split(/[/\\]/).at(-1);

/** The address of a file of the server, from that of another one. */
function besides(url, path) {
  const [route] = url.match(/^.*?[/]gradio_api[/]file=/);
  return route + path.split('/').map(encodeURIComponent).join('/');
}

/** Whether the server still has a file: it deletes old ones, while people go on drawing. */
async function stillThere(file, since) {
  if (Date.now() - since < FRESH) return true;
  const answer = await fetch(file.url, { method: 'HEAD' }).catch(() => ({ ok: false }));
  return answer.ok;
}
