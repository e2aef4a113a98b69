// Which windows of a photo the network must see to fill its holes.
//
// A region is {left, top, width, height}, in pixels. `holeGroups` does what core/crop.py does.

const LEAST_CELL = 8;
const MOST_CELLS = 256; // a side, for the longer side of the photo
const LEAST_MARGIN = 4;
const SLACK = 8;
const ROUNDING = 1e-3;
const { fround } = Math;

/**
 * Pairs {window, inner}: what the graph is given for one group of holes, and what is taken of its
 * answer. No two `inner` share a pixel, so the order of the groups does not matter.
 *
 * hole: a region with `mask`, one byte a pixel, not 0 = hole. canvas: the settings of the graph
 * {size, context, grow, feather, widest_hole}.
 */
export function planWindows(hole, width, height, canvas) {
  const rim = canvas.grow + canvas.feather;
  const gap = Math.max(Math.floor(canvas.size / 8), 2 * rim + 2);
  const side = (box) => squareOf(box, width, height, canvas).side;
  // What fits into one square as large as either would have anyway is filled in one run.
  const together = (a, b) => overlap(a, b, 2 * rim) || side(joined(a, b)) <= Math.max(side(a), side(b));
  const boxes = united(holeGroups(hole, width, height, gap), together);
  return boxes.map((box) => ({
    window: windowOf(box, boxes, width, height, canvas),
    inner: widened(box, rim, width, height),
  }));
}

/**
 * What `box` needs; only the square itself where holes of other groups reach in. They count as
 * holes there, and the graph would make its square of the whole window for their sake.
 */
function windowOf(box, boxes, width, height, canvas) {
  const window = neededWindow(box, width, height, canvas);
  const alone = boxes.every((other) => other === box || !overlap(other, window, 0));
  return alone ? window : cut(squareOf(box, width, height, canvas), 0, width, height);
}

/** The part of the photo on which the graph's answer depends: `needed_window` of core/single.py. */
export function neededWindow(box, width, height, canvas) {
  const square = squareOf(box, width, height, canvas);
  return cut(square, Math.ceil(square.side / canvas.size) + SLACK + canvas.feather, width, height);
}

/** The square {left, top, side} that the graph fills for a hole in `box`: `place` of core/single.py. */
function squareOf(box, width, height, { size, context, grow, feather, widest_hole }) {
  const wide = widened(box, grow + feather, width, height);
  const longer = Math.max(wide.width, wide.height, 1);
  // In the float32 of the graph, so that both round alike.
  const margin = Math.max(fround(fround(context) * longer), size / LEAST_MARGIN);
  const wanted = Math.max(fround(longer + 2 * margin), fround(longer / fround(widest_hole)));
  let side = Math.max(Math.ceil(fround(wanted - fround(ROUNDING))), size);
  // Whether a photo smaller than the canvas is enlarged makes no difference: all of it is needed.
  side = Math.min(side, Math.max(width, height));
  const start = (low, length, limit) => Math.max(Math.min(Math.floor((2 * low + length - side) / 2), limit - side), 0);
  return { left: start(wide.left, wide.width, width), top: start(wide.top, wide.height, height), side };
}

function cut({ left, top, side }, margin, width, height) {
  return widened({ left, top, width: side, height: side }, margin, width, height);
}

/** The tight boxes round the holes; holes closer than about `gap` pixels are one group. */
export function holeGroups(hole, width, height, gap) {
  const cell = Math.max(LEAST_CELL, Math.floor(Math.max(width, height) / MOST_CELLS));
  const cells = cellsOf(hole, width, height, cell);
  const labels = labelled(grown(cells, Math.ceil(gap / (2 * cell))));
  const boxes = united(boxesOf(hole, cells, labels, cell), (a, b) => overlap(a, b, 0));
  return boxes.sort((a, b) => a.top - b.top || a.left - b.left);
}

/** A grid {columns, rows, values} of cells: 1 where any pixel is hole. */
function cellsOf(hole, width, height, cell) {
  const [columns, rows] = [Math.ceil(width / cell), Math.ceil(height / cell)];
  const values = new Uint8Array(columns * rows);
  eachPixel(hole, (x, y) => {
    values[Math.floor(y / cell) * columns + Math.floor(x / cell)] = 1;
  });
  return { columns, rows, values };
}

function eachPixel({ left, top, width, height, mask }, visit) {
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) if (mask[i]) visit(x + left, y + top);
  }
}

/** Dilated by a square of `reach` cells to each side. */
function grown({ columns, rows, values }, reach) {
  const out = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    if (!values[i]) continue;
    const [column, row] = [i % columns, Math.floor(i / columns)];
    for (let r = Math.max(0, row - reach); r <= Math.min(rows - 1, row + reach); r++) {
      out.fill(1, r * columns + Math.max(0, column - reach), r * columns + Math.min(columns, column + reach + 1));
    }
  }
  return { columns, rows, values: out };
}

/** Numbers from 1 for the 8-connected parts of a grid, 0 elsewhere. */
function labelled({ columns, rows, values }) {
  const labels = new Int32Array(values.length);
  let label = 0;
  for (let start = 0; start < values.length; start++) {
    if (!values[start] || labels[start]) continue;
    labels[start] = ++label;
    for (const stack = [start]; stack.length;) {
      for (const near of around(stack.pop(), columns, rows)) {
        if (!values[near] || labels[near]) continue;
        labels[near] = label;
        stack.push(near);
      }
    }
  }
  return labels;
}

function* around(index, columns, rows) {
  const [column, row] = [index % columns, Math.floor(index / columns)];
  for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++) {
    for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++) yield r * columns + c;
  }
}

/** The box round the hole's pixels of each label. */
function boxesOf(hole, { columns }, labels, cell) {
  const sides = new Map();
  eachPixel(hole, (x, y) => {
    const label = labels[Math.floor(y / cell) * columns + Math.floor(x / cell)];
    const side = sides.get(label);
    if (!side) return void sides.set(label, [x, y, x, y]);
    side[0] = Math.min(side[0], x);
    side[2] = Math.max(side[2], x);
    side[3] = y; // rows come in order
  });
  return [...sides.values()].map(([left, top, right, bottom]) => region(left, top, right + 1, bottom + 1));
}

/** Join boxes that belong `together` until none do. */
function united(boxes, together) {
  const done = [];
  for (let box of boxes) {
    for (let other; (other = done.find((one) => together(one, box)));) {
      done.splice(done.indexOf(other), 1);
      box = joined(box, other);
    }
    done.push(box);
  }
  return done;
}

/** Whether two regions share a pixel, or would if both were wider by half of `reach`. */
function overlap(a, b, reach) {
  return a.left < b.left + b.width + reach && b.left < a.left + a.width + reach
    && a.top < b.top + b.height + reach && b.top < a.top + a.height + reach;
}

function joined(a, b) {
  return region(
    Math.min(a.left, b.left),
    Math.min(a.top, b.top),
    Math.max(a.left + a.width, b.left + b.width),
    Math.max(a.top + a.height, b.top + b.height),
  );
}

function widened({ left, top, width, height }, by, limitX, limitY) {
  return region(
    Math.max(0, left - by),
    Math.max(0, top - by),
    Math.min(limitX, left + width + by),
    Math.min(limitY, top + height + by),
  );
}

function region(left, top, right, bottom) {
  return { left, top, width: right - left, height: bottom - top };
}
