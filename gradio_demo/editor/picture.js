// A picture: the file as it is, and what the browser decoded of it to show.

const SMALLEST_LEVEL = 512; // the longer side below which no smaller copy is made
const THUMB = 96;
const FRESH = 60_000; // milliseconds for which a file is taken to be still on the server
const UNREAD = /^image\/(avif|gif|svg|x-icon)/; // kinds that browsers show and Python does not read

class Picture {
  /** Gives a PNG of a picture that this browser cannot decode, or throws a Problem; Sending sets it. */
  static previewOf = null;

  /** blob: the file's bytes, or url: where they are; file: Gradio's FileData if the server has it. */
  constructor({ name, blob = null, file = null }) {
    Object.assign(this, { name, blob, file, sentAt: Date.now(), levels: [], thumb: null });
  }

  get bitmap() {
    return this.levels[0] ?? null;
  }

  /** Where the file can be downloaded from as it is: here, or else on the server, which deletes it. */
  get href() {
    return this.blob ? (this.blobUrl ??= URL.createObjectURL(this.blob)) : this.file.url;
  }

  async bytes() {
    if (this.blob) return this.blob;
    const answer = await fetch(this.file.url).catch((problem) => ({ statusText: String(problem) }));
    if (!answer.ok) {
      throw new Problem('gone', { name: this.name, why: answer.status ?? answer.statusText });
    }
    this.blob = await answer.blob();
    return this.blob;
  }

  /**
   * Decode it, turned as its EXIF says; what this browser cannot decode, by a PNG that the server
   * makes to show it. Throws a Problem if it is no picture or too large.
   */
  async decode() {
    if (this.bitmap) return;
    this.decoding ??= this.#decode().finally(() => {
      this.decoding = null;
    });
    await this.decoding;
  }

  async #decode() {
    const blob = await this.bytes();
    const here = UNREAD.test(blob.type) ? null : await createImageBitmap(blob).catch(() => null);
    const bitmap = here ?? (await createImageBitmap(await Picture.previewOf(this)));
    const { width, height } = bitmap;
    if (!canvasHolds(width, height)) {
      bitmap.close();
      throw new Problem('tooLarge', { name: this.name, width, height });
    }
    Object.assign(this, { width, height, levels: [bitmap] });
    this.thumb ??= await createImageBitmap(bitmap, {
      ...fitted(width, height, THUMB),
      resizeQuality: 'medium',
    });
  }

  /** Copies of half, a quarter, ... of the size: a large photo is shown smooth and at once. */
  async addLevels() {
    for (;;) {
      const last = this.levels.at(-1);
      if (!last || Math.max(last.width, last.height) < 2 * SMALLEST_LEVEL) return;
      const half = await createImageBitmap(last, {
        ...fitted(last.width, last.height, Math.max(last.width, last.height) / 2),
        resizeQuality: 'medium',
      });
      if (this.levels.at(-1) !== last) return half.close(); // released meanwhile
      this.levels.push(half);
    }
  }

  /** The smallest copy that has a pixel for each pixel on screen. */
  level(scale) {
    return this.levels.findLast((level) => level.width >= this.width * scale) ?? this.bitmap;
  }

  /** The RGBA of one pixel. */
  pixel(x, y) {
    const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    context.drawImage(this.bitmap, x, y, 1, 1, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  }

  /** Give the decoded pixels back; `decode` brings them again. */
  release() {
    for (const level of this.levels) level.close();
    this.levels = [];
  }

  /** Give the bytes back too, if the server has them. */
  forget() {
    this.release();
    if (!this.file) return;
    URL.revokeObjectURL(this.blobUrl);
    this.blob = this.blobUrl = null;
  }
}

/** The size that fits into a square, with the proportions kept. */
function fitted(width, height, side) {
  const scale = Math.min(side / Math.max(width, height), 1);
  return {
    resizeWidth: Math.max(Math.round(width * scale), 1),
    resizeHeight: Math.max(Math.round(height * scale), 1),
  };
}

/** Whether this browser has a canvas of that size: too large ones are there, but stay empty. */
function canvasHolds(width, height) {
  try {
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    context.fillRect(width - 1, height - 1, 1, 1);
    return context.getImageData(width - 1, height - 1, 1, 1).data[3] === FULL;
  } catch {
    return false;
  }
}

/** A picture with what is drawn on it. */
class Sheet {
  /** strip: pictures to go back to; kept: layers by name that go on from another sheet. */
  constructor(picture, { strip = null, kept = {} } = {}) {
    this.id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    this.picture = picture;
    this.strip = strip ?? [picture];
    Object.assign(this, { wanted: 0, asked: 0 }); // versions of the mask, as filling.js says
    this.layers = Object.fromEntries(
      LAYERS.map((name) => [name, kept[name] ?? new Layer(name, picture.width, picture.height)]),
    );
  }

  get bytes() {
    return LAYERS.reduce((sum, name) => sum + this.layers[name].bytes, this.picture.blob?.size ?? 0);
  }
}
