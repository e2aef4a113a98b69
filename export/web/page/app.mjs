// The page: what the buttons and keys do, and what the status line says.

import { Brush } from './brush.mjs';
import { Engine } from './engine.mjs';
import { fillHoles, put } from './fill.mjs';
import { History } from './history.mjs';
import { Paint } from './paint.mjs';
import { openPhoto, savePhoto } from './photo.mjs';
import { Problem } from './problem.mjs';
import { View } from './view.mjs';

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const photo = $('photo');
const pixels = photo.getContext('2d', { willReadFrequently: true });
const LINES_ACROSS = 320; // a line is as wide as one of so many over the longer side

let history = new History();
let name = '';
let paint = new Paint({ mask: $('mask') });
let guides = [];
let busy = false;
let comparing = false;
let loading = null; // a promise, fulfilled once the network is there

const engine = new Engine(({ done, total }) => {
  $('bar').hidden = done >= total;
  $('bar').value = done / total;
  tell(`Loading the network: ${megabytes(done)} of ${megabytes(total)} MB`);
});
const view = new View($('viewport'), $('stage'), (scale) => {
  $('fit').textContent = `${Math.round(100 * scale)}%`;
  brush.refresh();
});
const brush = new Brush({
  pad: $('pad'),
  cursor: $('cursor'),
  view,
  tool: () => (busy || comparing || !name ? null : tool()),
  extend: (stroke) => paint.extend(stroke),
  onStroke(stroke) {
    history.push(stroke);
    say('Press Fill once all of it is covered.');
    refresh();
  },
  onCancel: () => paint.redraw(history.strokes),
});

// ---- what is said ----

function say(text, problem = null) {
  $('status').textContent = text;
  $('status').classList.toggle('wrong', Boolean(problem));
  if (problem) root.dataset.error = problem.code ?? 'unknown';
  else delete root.dataset.error;
}

function tell(text) {
  $('detail').textContent = text;
  if (!name) say(text);
}

function complain(problem) {
  if (!(problem instanceof Problem)) console.error(problem);
  say(problem.message, problem);
}

const megabytes = (count) => (count / 1e6).toFixed(1);
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

function refresh() {
  const some = history.strokes.length > 0;
  $('undo').disabled = busy || !history.done.length;
  $('redo').disabled = busy || !history.undone.length;
  $('clear').disabled = busy || !some;
  $('compare').disabled = busy || !history.fills.length;
  $('save').disabled = busy || !name;
  $('open').disabled = busy;
  $('run').disabled = !name;
  $('run').querySelector('span').textContent = busy ? 'Stop' : 'Fill';
  document.body.classList.toggle('busy', busy);
  brush.refresh();
}

// ---- the network ----

function load() {
  $('retry').hidden = true;
  loading = engine.start().then(welcome);
  loading.catch((problem) => {
    $('bar').hidden = true;
    $('retry').hidden = false;
    $('detail').textContent = '';
    complain(problem);
  });
  return loading;
}

function welcome({ from, threads, inputs, milliseconds, kept }) {
  guides = ['color', 'sketch'].filter((guide) => inputs.includes(guide));
  for (const part of document.querySelectorAll('[data-guide]')) {
    part.hidden = !guides.includes(part.dataset.guide);
  }
  adopt();
  $('model').hidden = false;
  $('model').textContent = engine.site.title;
  $('bar').hidden = true;
  root.dataset.ready = from;
  const where = from === 'cache' ? 'from this device' : kept ? 'kept for next time' : 'not kept';
  tell(`Network ready in ${seconds(milliseconds)}, ${where} · WebAssembly, ${plural(threads, 'thread')}`);
  if (!name) say('Ready. Choose a photo.');
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Layers for the guides that the network turned out to take; what was painted before stays. */
function adopt() {
  paint = new Paint(Object.fromEntries(['mask', ...guides].map((layer) => [layer, $(layer)])));
  for (const guide of guides) $(guide).hidden = false;
  if (!name) return;
  for (const guide of guides) Object.assign($(guide), { width: photo.width, height: photo.height });
  paint.redraw(history.strokes);
}

async function run() {
  if (busy) return engine.stop();
  const hole = paint.hole(history.strokes);
  if (!hole) return say('Brush over what shall vanish first.', new Problem('', 'empty'));
  busy = true;
  refresh();
  say(root.dataset.ready ? 'Filling' : 'Waiting for the network');
  try {
    await loading;
    await fill(hole);
  } catch (problem) {
    complain(problem);
    if (['stopped', 'memory', 'worker'].includes(problem.code)) restart();
  }
  busy = false;
  refresh();
}

async function fill(hole) {
  const start = performance.now();
  const patches = await fillHoles({ engine, photo, paint, guides, hole }, (number, count) => {
    say(count > 1 ? `Filling ${number} of ${count}` : 'Filling');
  });
  history.push({ kind: 'fill', patches });
  put(pixels, patches, 'after');
  paint.redraw(history.strokes);
  const time = seconds(performance.now() - start);
  say(`Filled ${plural(patches.length, 'place')} in ${time}. Download it, or brush on.`);
  root.dataset.done = Number(root.dataset.done ?? 0) + 1;
}

/** A new worker, from the cache: the old one was ended, or holds memory that it never gives back. */
function restart() {
  delete root.dataset.ready;
  load();
}

// ---- photos ----

async function open(file) {
  if (!file || busy) return;
  try {
    say('Opening');
    const size = await openPhoto(file, photo);
    name = file.name || 'photo.png';
    history = new History();
    paint.resize(size.width, size.height);
    $('welcome').hidden = true;
    $('viewport').hidden = $('dock').hidden = false;
    root.dataset.view = 'photo';
    view.show(size.width, size.height);
    say(`${size.width} × ${size.height} pixels. Brush over what shall vanish.`);
  } catch (problem) {
    complain(problem);
  }
  refresh();
}

function step(way) {
  const action = history[way]();
  if (action?.kind === 'fill') put(pixels, action.patches, way === 'undo' ? 'before' : 'after');
  paint.redraw(history.strokes);
  say('');
  refresh();
}

function compare(on) {
  if (on === comparing || (on && $('compare').disabled)) return;
  comparing = on;
  const fills = on ? history.fills.reverse() : history.fills;
  for (const { patches } of fills) put(pixels, patches, on ? 'before' : 'after');
  document.body.classList.toggle('comparing', on);
  $('before').hidden = !on;
}

// ---- buttons and keys ----

function tool() {
  const chosen = document.querySelector('[name=tool]:checked').value;
  const line = (Math.max(photo.width, photo.height) / LINES_ACROSS) * view.scale;
  const size = chosen === 'sketch' ? Math.max(line, 2) : Number($('size').value);
  return { tool: chosen, size, tint: $('tint').value };
}

function choose(value) {
  const input = document.querySelector(`[name=tool][value=${value}]`);
  if (input.closest('label').hidden) return;
  input.checked = true;
  brush.refresh();
}

function resizeBrush(factor) {
  $('size').value = Math.round(Number($('size').value) * factor);
  brush.refresh();
}

const KEYS = {
  b: () => choose('brush'),
  e: () => choose('eraser'),
  l: () => choose('sketch'),
  p: () => choose('color'),
  '[': () => resizeBrush(1 / 1.2),
  ']': () => resizeBrush(1.2),
  '+': () => view.zoomBy(1.5),
  '=': () => view.zoomBy(1.5),
  '-': () => view.zoomBy(1 / 1.5),
  0: () => view.zoomBy(1e-9),
  c: () => compare(true),
  Escape: () => busy && engine.stop(),
};
const WITH_CONTROL = Object.fromEntries(
  Object.entries({ z: 'undo', y: 'redo', o: 'open', s: 'save' }).map(([key, id]) => [key, () => $(id).click()]),
);

function onKey(event) {
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  let action = (control ? WITH_CONTROL : KEYS)[key];
  if (control && event.shiftKey && key === 'z') action = WITH_CONTROL.y;
  if (key === 'Enter' && !event.target.closest('button, input')) action = () => !busy && $('run').click();
  if (!action || event.altKey) return;
  event.preventDefault();
  action();
}

function listen() {
  for (const id of ['open', 'choose']) $(id).onclick = () => $('file').click();
  $('file').onchange = () => {
    open($('file').files[0]);
    $('file').value = ''; // the same file may be chosen again
  };
  $('save').onclick = () => savePhoto(photo, name).catch(complain);
  $('run').onclick = run;
  $('retry').onclick = load;
  $('undo').onclick = () => step('undo');
  $('redo').onclick = () => step('redo');
  $('clear').onclick = () => {
    history.push({ kind: 'clear' });
    paint.redraw([]);
    refresh();
  };
  $('larger').onclick = KEYS['+'];
  $('smaller').onclick = KEYS['-'];
  $('fit').onclick = KEYS[0];
  $('compare').onpointerdown = () => compare(true);
  for (const end of ['pointerup', 'pointercancel', 'pointerleave', 'blur']) {
    $('compare').addEventListener(end, () => compare(false));
  }
  $('compare').onkeydown = ({ key }) => [' ', 'Enter'].includes(key) && compare(true);
  $('viewport').addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    view.zoomBy(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }, { passive: false });
  for (const input of document.querySelectorAll('#dock input')) input.oninput = () => brush.refresh();
  addEventListener('keydown', onKey);
  addEventListener('keyup', () => compare(false));
  addEventListener('paste', (event) => open(event.clipboardData.files[0]));
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', (event) => event.relatedTarget || document.body.classList.remove('dropping'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    open(event.dataTransfer.files[0]);
  });
}

listen();
load();
