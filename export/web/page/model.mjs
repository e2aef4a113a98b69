// Large files of the page: downloaded once, checked, kept by the Cache API.

import { Problem } from './problem.mjs';

const CACHE = 'gatefill';

/**
 * The bytes of `url`, from the cache or the network: {bytes, from, keep}.
 *
 * file: {bytes, sha256} that it must have; onBytes(n) is told of every n bytes that arrive. `keep()`
 * stores the file; it is for the caller to say, once the file has proved good. Raises Problem.
 */
export async function fetchKept(url, file, onBytes) {
  const cache = await openCache();
  const hit = await cache?.match(url);
  if (hit) {
    const bytes = new Uint8Array(await hit.arrayBuffer());
    if (await fits(bytes, file)) {
      onBytes(bytes.length);
      return { bytes, from: 'cache', keep: async () => true };
    }
    await cache.delete(url);
  }
  // Kept once is enough; and a damaged file is not to come out of the browser's own cache again.
  const bytes = await download(url, file, cache ? 'no-store' : 'default', onBytes);
  if (!(await fits(bytes, file))) {
    throw new Problem(
      `${nameOf(url)} arrived damaged (its SHA-256 is another one); try again, or build the page again.`,
      'damaged',
    );
  }
  return { bytes, from: 'network', keep: () => keep(cache, url, bytes) };
}

/** Forget files of this page that it no longer uses: those below `base` and not among `urls`. */
export async function forgetOthers(base, urls) {
  const cache = await openCache();
  for (const { url } of (await cache?.keys()) ?? []) {
    if (url.startsWith(base) && !urls.includes(url)) await cache.delete(url);
  }
}

/** Null where there is none: over plain http, or in some private windows. */
async function openCache() {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return null;
  }
}

async function keep(cache, url, bytes) {
  try {
    await cache?.put(url, new Response(bytes));
    return Boolean(cache);
  } catch {
    return false; // no room; the next visit downloads it again
  }
}

async function download(url, file, cache, onBytes) {
  const bytes = new Uint8Array(file.bytes);
  let count = 0;
  try {
    const answer = await fetch(url, { cache });
    if (!answer.ok) {
      throw new Problem(
        `${nameOf(url)} is not on this server (HTTP ${answer.status}); build the page again.`, 'missing',
      );
    }
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (count + value.length > bytes.length) throw wrongLength(url);
      bytes.set(value, count);
      count += value.length;
      onBytes(value.length);
    }
  } catch (problem) {
    if (problem instanceof Problem) throw problem;
    throw new Problem('The download broke off; check the connection and try again.', 'offline');
  }
  if (count !== bytes.length) throw wrongLength(url);
  return bytes;
}

function wrongLength(url) {
  return new Problem(`${nameOf(url)} arrived with another length than it has; try again.`, 'damaged');
}

/** Whether the bytes are those of `file`. Without a secure context only their number is checked. */
async function fits(bytes, { bytes: length, sha256 }) {
  if (bytes.length !== length || !globalThis.crypto?.subtle) return bytes.length === length;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') === sha256;
}

function nameOf(url) {
  return decodeURIComponent(new URL(url).pathname.split('/').pop());
}
