// Photos in and out: files to the canvas, the canvas to PNG.

import { Problem } from './problem.mjs';

export const MOST_PIXELS = 50e6;

/** Decode `file` as its pixels are stored, upright; draws it on `canvas`, on white. Raises Problem. */
export async function openPhoto(file, canvas) {
  const bitmap = await decode(file);
  const { width, height } = bitmap;
  try {
    const million = (width * height) / 1e6;
    if (width * height > MOST_PIXELS) {
      throw new Problem(
        `This photo has ${million.toFixed(0)} megapixels; up to ${MOST_PIXELS / 1e6} can be filled here: `
          + 'make it smaller first.',
        'large',
      );
    }
    // A canvas that is too large for a browser stays empty, or throws: tried on one aside first.
    const trial = paper(document.createElement('canvas'), bitmap);
    if (!trial) {
      throw new Problem(
        `This browser has no room for ${million.toFixed(0)} megapixels; make the photo smaller first.`,
        'room',
      );
    }
    Object.assign(canvas, { width, height });
    canvas.getContext('2d', { willReadFrequently: true }).drawImage(trial, 0, 0);
    trial.width = trial.height = 0;
  } finally {
    bitmap.close();
  }
  return { width, height };
}

async function decode(file) {
  try {
    return await createImageBitmap(file, {
      imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'none',
    });
  } catch {
    throw new Problem(`${file.name || 'This file'} is no picture that this browser can open.`, 'photo');
  }
}

/** The picture on white, or null where the canvas does not hold it. */
function paper(canvas, bitmap) {
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  try {
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(canvas.width - 1, canvas.height - 1, 1, 1).data[3] === 255 ? canvas : null;
  } catch {
    return null;
  }
}

/** Offer the canvas as a PNG of its own size. */
export async function savePhoto(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!blob) throw new Problem('This browser has no room to make the PNG; close other pages and try again.', 'room');
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replace(/\.[^.]*$/, '') || 'photo'}-filled.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
}
