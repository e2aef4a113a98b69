// Shapes as coverage of pixels, from 0 to 255, found for each pixel's centre.
//
// The browser's own strokes have smooth rims that no option turns off, while a mask needs its pixels
// either in or out, and a label's colour must not be mixed. So shapes are filled here.
//
// A shape is {box, spans(y), at(x, y)}: `box` {left, top, right, bottom} lies round it, `spans` gives
// [from, to, from, to, ...] of a row that it may reach, and `at` the coverage there.

const FULL = 255;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * What a round brush covers on its way from `a` to `b`, both {x, y, r}: all up to the radius r if
 * softness is 0; otherwise all up to r * (1 - softness), and from there less and less.
 */
function capsule(a, b, softness) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const squared = dx * dx + dy * dy;
  const most = Math.max(a.r, b.r);
  const spans = (y) => {
    // Of the middle line, only what is within `most` of the row reaches it.
    const up = y + 0.5 - most - a.y;
    const down = y + 0.5 + most - a.y;
    if (!dy) return up > 0 || down < 0 ? [] : across(a.x, b.x);
    const from = Math.max(Math.min(up / dy, down / dy), 0);
    const to = Math.min(Math.max(up / dy, down / dy), 1);
    return from > to ? [] : across(a.x + dx * from, a.x + dx * to);
  };
  const across = (one, other) => [
    Math.floor(Math.min(one, other) - most),
    Math.ceil(Math.max(one, other) + most),
  ];
  const at = (x, y) => {
    const [px, py] = [x + 0.5 - a.x, y + 0.5 - a.y];
    const along = squared ? clamp((px * dx + py * dy) / squared, 0, 1) : 0;
    const [qx, qy] = [px - along * dx, py - along * dy];
    const radius = a.r + (b.r - a.r) * along;
    return falloff(qx * qx + qy * qy, radius, softness);
  };
  const [left, right] = across(a.x, b.x);
  const [top, bottom] = across(a.y, b.y);
  return { box: { left, top, right, bottom }, spans, at };
}

/** Coverage at a squared distance from the middle of a brush: a smooth step from rim to core. */
function falloff(squared, radius, softness) {
  if (squared > radius * radius) return 0;
  const core = radius * (1 - softness);
  if (squared <= core * core) return FULL;
  const step = (radius - Math.sqrt(squared)) / (radius - core);
  return Math.round(FULL * step * step * (3 - 2 * step));
}

/** The pixels with their centres between two corners {x, y}. */
function rectangle(a, b) {
  const [left, right] = [a.x, b.x].sort(ascending).map(firstCentre);
  const [top, bottom] = [a.y, b.y].sort(ascending).map(firstCentre);
  return { box: { left, top, right, bottom }, spans: () => [left, right], at: () => FULL };
}

const ascending = (a, b) => a - b;
const firstCentre = (edge) => Math.ceil(edge - 0.5);

/** The pixels with their centres inside a closed line through points {x, y}, also where it crosses itself. */
function polygon(points) {
  const edges = points.map((from, i) => [from, points[(i + 1) % points.length]]);
  const spans = (y) => {
    const middle = y + 0.5;
    const crossings = edges
      .filter(([from, to]) => from.y <= middle !== to.y <= middle)
      .map(([from, to]) => ({
        x: from.x + ((middle - from.y) * (to.x - from.x)) / (to.y - from.y),
        turn: to.y > from.y ? 1 : -1,
      }))
      .sort((one, other) => one.x - other.x);
    const found = [];
    let winding = 0;
    for (const { x, turn } of crossings) {
      if (!winding) found.push(firstCentre(x));
      winding += turn;
      if (!winding) found.push(firstCentre(x));
    }
    return found;
  };
  return { box: boxRound(points), spans, at: () => FULL };
}

/** Whole pixels round points {x, y}. */
function boxRound(points) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const { x, y } of points) {
    box.left = Math.min(box.left, Math.floor(x));
    box.top = Math.min(box.top, Math.floor(y));
    box.right = Math.max(box.right, Math.ceil(x));
    box.bottom = Math.max(box.bottom, Math.ceil(y));
  }
  return box;
}

function joined(one, other) {
  if (!one || !other) return one ?? other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}
