// The page's end of the worker: questions and answers, and a worker anew when one is stopped.

import { Problem } from './problem.mjs';

export class Engine {
  constructor(onProgress) {
    this.onProgress = onProgress;
    this.waiting = new Map();
    this.count = 0;
  }

  /** Load the network; -> {from, threads, inputs, milliseconds, kept}. Raises Problem. */
  async start() {
    this.stop();
    this.site = await readSite();
    this.worker = new Worker(new URL('worker.mjs', import.meta.url), { type: 'module' });
    this.worker.onmessage = ({ data }) => this.#receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.stop(new Problem(
        'The worker of this page did not start; a newer browser is needed, or the page is incomplete.',
        'worker',
      ));
    };
    try {
      return await this.ask('load', { site: this.site, base: document.baseURI });
    } catch (problem) {
      this.stop(); // other downloads would go on, and report their progress
      throw problem;
    }
  }

  /** One question; its buffers are handed over, not copied. */
  ask(type, payload, transfer = []) {
    if (!this.worker) return Promise.reject(stopped());
    return new Promise((resolve, reject) => {
      const id = ++this.count;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, type, ...payload }, transfer);
    });
  }

  /** End the worker, which alone gives its memory back; whoever waits gets `reason`. */
  stop(reason = stopped()) {
    this.worker?.terminate();
    this.worker = null;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of waiting) reject(reason);
  }

  #receive({ id, progress, value, problem }) {
    if (progress) return this.onProgress(progress);
    const { resolve, reject } = this.waiting.get(id) ?? {};
    this.waiting.delete(id);
    return problem ? reject?.(new Problem(problem.message, problem.code)) : resolve?.(value);
  }
}

function stopped() {
  return new Problem('Stopped.', 'stopped');
}

async function readSite() {
  let answer;
  try {
    answer = await fetch(new URL('site.json', document.baseURI), { cache: 'no-cache' });
  } catch {
    throw new Problem('The server cannot be reached; check the connection and try again.', 'offline');
  }
  if (!answer.ok) {
    throw new Problem(
      `site.json is not on this server (HTTP ${answer.status}); build the page again.`, 'missing',
    );
  }
  try {
    return await answer.json();
  } catch {
    throw new Problem('site.json is damaged; build the page again.', 'damaged');
  }
}
