// From a painted hole to patches of the photo, window by window.

/**
 * Fill every group of holes: -> patches {left, top, before, after}, to be put on the photo together,
 * as each was made of the photo as it is. onPlace(number, count) is told before each.
 */
export async function fillHoles({ engine, photo, paint, guides, hole }, onPlace) {
  const { width, height } = photo;
  const pairs = await engine.ask('plan', { hole, width, height }, [hole.mask.buffer]);
  const patches = [];
  for (const pair of pairs) {
    onPlace(patches.length + 1, pairs.length);
    patches.push(await fillOne({ engine, photo, paint, guides }, pair));
  }
  return patches;
}

async function fillOne({ engine, photo, paint, guides }, { window, inner }) {
  const pixels = photo.getContext('2d');
  const { width, height } = window;
  const rgba = pixels.getImageData(window.left, window.top, width, height).data.buffer;
  const mask = paint.bytes('mask', window).buffer;
  const drawn = {};
  if (guides.includes('sketch')) drawn.sketch = { channels: 1, bytes: paint.bytes('sketch', window).buffer };
  if (guides.includes('color')) drawn.color = { channels: 3, bytes: paint.colours('color', window).buffer };
  const inside = { ...inner, left: inner.left - window.left, top: inner.top - window.top };
  const { rgba: filled } = await engine.ask(
    'fill',
    { rgba, mask, guides: drawn, width, height, inner: inside },
    [rgba, mask, ...Object.values(drawn).map((guide) => guide.bytes)],
  );
  return {
    left: inner.left,
    top: inner.top,
    before: pixels.getImageData(inner.left, inner.top, inner.width, inner.height),
    after: new ImageData(new Uint8ClampedArray(filled), inner.width, inner.height),
  };
}

/** Write patches on a canvas, as the photo was `before` or is `after`. */
export function put(pixels, patches, which) {
  for (const patch of patches) pixels.putImageData(patch[which], patch.left, patch.top);
}
