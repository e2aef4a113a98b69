// Owns the network: loads it, plans which windows of the photo it needs, fills them one at a time.

import { fetchKept, forgetOthers } from './model.mjs';
import { Problem } from './problem.mjs';
import { planWindows } from './window.mjs';

// (module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)), the least that asks for SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);
const MOST_THREADS = 4;
const OUTPUT = 'completed';

let ort;
let session;
let settings;
let queue = Promise.resolve(); // session.run takes one run at a time

const ANSWERS = { load, plan, fill };

self.onmessage = ({ data: { id, type, ...payload } }) => {
  queue = queue.then(async () => {
    try {
      const { value, transfer = [] } = await ANSWERS[type](payload);
      self.postMessage({ id, value }, transfer);
    } catch (problem) {
      self.postMessage({ id, problem: explained(problem, type) });
    }
  });
};

async function load({ site, base }) {
  const start = performance.now();
  if (!globalThis.WebAssembly || !WebAssembly.validate(SIMD)) {
    throw new Problem('This browser is too old: it lacks WebAssembly SIMD. Please use a newer one.', 'simd');
  }
  const at = (path) => new URL(path, base).href;
  const progress = progressOf(site.model.bytes + site.runtime.wasm.bytes);
  const files = await Promise.all([
    fetchKept(at(site.model.file), site.model, progress),
    fetchKept(at(site.runtime.wasm.file), site.runtime.wasm, progress),
  ]);
  const [model, wasm] = files;
  const threads = await prepare(at, site.runtime, wasm.bytes);
  session = await ort.InferenceSession.create(model.bytes, { executionProviders: ['wasm'] });
  check(session);
  settings = site.model.settings;
  const kept = (await Promise.all(files.map((file) => file.keep()))).every(Boolean);
  await forgetOthers(at('.'), [at(site.model.file), at(site.runtime.wasm.file)]);
  const milliseconds = performance.now() - start;
  return { value: { from: model.from, threads, inputs: session.inputNames, milliseconds, kept } };
}

/** Load ONNX Runtime from beside the page; -> the number of its threads. */
async function prepare(at, runtime, wasmBinary) {
  try {
    ort = await import(at(runtime.entry));
  } catch {
    throw new Problem(`${runtime.entry} is not on this server; build the page again.`, 'missing');
  }
  // Threads need shared memory, and that a page whose server isolates it.
  const threads = self.crossOriginIsolated
    ? Math.max(1, Math.min(MOST_THREADS, Math.ceil((navigator.hardwareConcurrency || 1) / 2)))
    : 1;
  Object.assign(ort.env.wasm, { numThreads: threads, wasmPaths: at(runtime.folder), wasmBinary });
  return threads;
}

function check({ inputNames, outputNames }) {
  if (!['image', 'mask'].every((name) => inputNames.includes(name)) || !outputNames.includes(OUTPUT)) {
    throw new Problem('The model of this page takes no photo and mask; build the page again.', 'damaged');
  }
}

async function plan({ hole, width, height }) {
  return { value: planWindows(hole, width, height, settings) };
}

/**
 * Fill one window: `rgba` of its pixels and bytes of its `mask` and guides -> rgba of `inner`.
 *
 * guides: {name: {channels, bytes}}; inner: {left, top, width, height} inside the window.
 */
async function fill({ rgba, mask, guides, width, height, inner }) {
  const feeds = {
    image: new ort.Tensor('uint8', planes(new Uint8Array(rgba)), [1, 3, height, width]),
    mask: new ort.Tensor('uint8', new Uint8Array(mask), [1, 1, height, width]),
  };
  for (const [name, { channels, bytes }] of Object.entries(guides)) {
    feeds[name] = new ort.Tensor('uint8', new Uint8Array(bytes), [1, channels, height, width]);
  }
  const start = performance.now();
  const completed = (await session.run(feeds, [OUTPUT]))[OUTPUT];
  const milliseconds = performance.now() - start;
  const patch = cut(completed.data, width, height, inner);
  completed.dispose();
  return { value: { rgba: patch.buffer, milliseconds }, transfer: [patch.buffer] };
}

/** (h, w, 4) -> (3, h, w). */
function planes(rgba) {
  const count = rgba.length / 4;
  const out = new Uint8Array(3 * count);
  for (let i = 0; i < count; i++) {
    out[i] = rgba[4 * i];
    out[count + i] = rgba[4 * i + 1];
    out[2 * count + i] = rgba[4 * i + 2];
  }
  return out;
}

/** The part `inner` of (3, h, w) -> (inner.height, inner.width, 4). */
function cut(data, width, height, inner) {
  const count = width * height;
  const out = new Uint8ClampedArray(4 * inner.width * inner.height).fill(255);
  for (let y = 0, i = 0; y < inner.height; y++) {
    let from = (y + inner.top) * width + inner.left;
    for (let x = 0; x < inner.width; x++, i++, from++) {
      for (let c = 0; c < 3; c++) out[4 * i + c] = data[c * count + from];
    }
  }
  return out;
}

function progressOf(total) {
  let [done, last] = [0, 0];
  return (count) => {
    done += count;
    if (performance.now() - last < 40 && done < total) return;
    last = performance.now();
    self.postMessage({ progress: { done, total } });
  };
}

/** The message for people, and the code, of anything that went wrong. */
function explained(problem, type) {
  if (problem instanceof Problem) return { message: problem.message, code: problem.code };
  const text = String(problem?.message ?? problem).split('\n')[0];
  if (/memory|bad_alloc|allocat|OOM|array length/i.test(text)) {
    return {
      message: 'This device ran out of memory. Brush over a smaller part at a time, or close other pages.',
      code: 'memory',
    };
  }
  return type === 'load'
    ? { message: `The network did not load: ${text}`, code: 'load' }
    : { message: `The network failed: ${text}`, code: 'run' };
}
