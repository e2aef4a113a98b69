// Layers from picture files and as picture files.
//
// A file is read as the command line reads it: a mask is how white and how opaque it is; a sketch,
// how light, or where it has transparency, how opaque; colours, what is opaque, or on black what is
// not black; a map of labels, their colours, or their numbers as grey.

const ENDINGS = { mask: 'mask', sketch: 'sketch', color: 'color', semantic: 'seg' };
const LUMA = [0.299, 0.587, 0.114]; // ITU-R BT.601
const UNKNOWN_LABEL = 255;

/** A layer as people's programs want it: masks and sketches light on black, the others as drawn. */
async function layerFile(layer, pictureName) {
  const ground = TINTS[layer.name] ? '#000' : null;
  const stem = pictureName.replace(/[.][^.]*$/, '');
  const name = `${stem}.${ENDINGS[layer.name]}.png`;
  return new File([await encode(layer.toCanvas(ground), name)], name, { type: 'image/png' });
}

/**
 * Put a file's picture into a layer; what undo needs, as `Stroke.finish` says. palette: [[name,
 * "#rrggbb"], ...] in the order of the labels. Throws a Problem for another size or unknown labels.
 */
async function readInto(layer, blob, name, palette) {
  const picture = new Picture({ name, blob });
  await picture.decode();
  const { bitmap, width, height } = picture;
  if (width !== layer.width || height !== layer.height) {
    picture.release();
    throw new Problem('otherSize', { name, width, height, across: layer.width, down: layer.height });
  }
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  picture.release();
  const pixelsOf = ({ left, top, width, height }) => context.getImageData(left, top, width, height);
  const convert = READERS[layer.name](layer, pixelsOf, { name, palette });
  return replaceAll(layer, (index) => pixelsOf(layer.place(index)), convert);
}

/** Turn what is masked to what is not, and the other way round; what undo needs, as above. */
function invert(mask) {
  const convert = eachPixel((data, at) => white(data, at, FULL - data[at + 3]));
  return replaceAll(mask, (index) => mask.read(index), convert);
}

function replaceAll(layer, pixelsOf, convert) {
  const tiles = [];
  for (const index of layer.everywhere()) {
    const before = layer.read(index);
    const after = pixelsOf(index);
    convert(after.data);
    if (sameInk(before, after)) continue;
    tiles.push({ layer, index, packed: pack(before) });
    if (hasInk(after)) layer.write(index, after);
    else layer.remove(index);
  }
  return tiles;
}

const grey = (data, at) => Math.round(LUMA.reduce((sum, share, c) => sum + share * data[at + c], 0));

function white(data, at, alpha) {
  data.fill(alpha ? FULL : 0, at, at + 3);
  data[at + 3] = alpha;
}

function eachPixel(act) {
  return (data) => {
    for (let at = 0; at < data.length; at += 4) act(data, at);
  };
}

/** Whether any pixel is not opaque. */
function hasHoles(layer, pixelsOf) {
  return [...layer.everywhere()].some((index) => {
    const { data } = pixelsOf(layer.place(index));
    for (let at = 3; at < data.length; at += 4) if (data[at] < FULL) return true;
    return false;
  });
}

/** By layer: what turns the pixels of a file, in place, into those of the layer. */
const READERS = {
  mask: () => eachPixel((data, at) => white(data, at, Math.round((grey(data, at) * data[at + 3]) / FULL))),
  sketch(layer, pixelsOf) {
    const inAlpha = hasHoles(layer, pixelsOf);
    return eachPixel((data, at) => white(data, at, inAlpha ? data[at + 3] : grey(data, at)));
  },
  color(layer, pixelsOf) {
    if (hasHoles(layer, pixelsOf)) return () => {};
    return eachPixel((data, at) => {
      if (!(data[at] | data[at + 1] | data[at + 2])) data[at + 3] = 0;
    });
  },
  semantic(layer, pixelsOf, { name, palette }) {
    const colors = palette.map(([, hex]) => rgbOf(hex));
    const known = new Set(colors.map(numberOf));
    const wrong = strangers(layer, pixelsOf, (data, at) => known.has(numberOf(data.subarray(at, at + 3))));
    if (!wrong.count) return eachPixel(hardened);
    const isNumber = (data, at) => isGrey(data, at) && (data[at] < colors.length || data[at] === UNKNOWN_LABEL);
    if (strangers(layer, pixelsOf, isNumber).count) throw new Problem('otherLabels', { name, ...wrong });
    return eachPixel((data, at) => data.set(colors[data[at]] ? [...colors[data[at]], FULL] : [0, 0, 0, 0], at));
  },
};

/** All or nothing of a pixel: labels do not mix with what is below. */
function hardened(data, at) {
  if (data[at + 3] > FULL / 2) data[at + 3] = FULL;
  else data.fill(0, at, at + 4);
}

const numberOf = ([red, green, blue]) => (red << 16) | (green << 8) | blue;
const isGrey = (data, at) => data[at] === data[at + 1] && data[at] === data[at + 2];

/** The opaque pixels that do not pass: {count, x, y, color} with place and colour of the first. */
function strangers(layer, pixelsOf, passes) {
  const found = { count: 0 };
  for (const index of layer.everywhere()) {
    const { left, top, width, height } = layer.place(index);
    const { data } = pixelsOf({ left, top, width, height });
    for (let at = 0; at < data.length; at += 4) {
      if (!data[at + 3] || passes(data, at)) continue;
      if (!found.count) {
        const i = at / 4;
        Object.assign(found, { x: left + (i % width), y: top + Math.floor(i / width) });
        found.color = hexOf(data.subarray(at, at + 3));
      }
      found.count += 1;
    }
  }
  return found;
}
