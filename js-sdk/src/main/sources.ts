import { KilnError } from '../shared/errors.js';
import type { SourceMessage } from '../shared/messages.js';
import { isNode } from '../shared/node.js';
import type { ModelSource } from '../options.js';

/** A source that can be posted, and what to answer when its chunks are asked for. */
export interface PostableSource {
  message: SourceMessage;
  pull: () => Uint8Array<ArrayBuffer> | null;
}

const kChunk = 1 << 20;
const kRequestFields = ['method', 'credentials', 'mode', 'cache', 'redirect', 'referrer', 'referrerPolicy', 'integrity'] as const;

const nothing = (): null => null;

/** Copies chunk by chunk, so that the whole is never there twice. */
function fromBytes(bytes: Uint8Array): PostableSource {
  let position = 0;
  return {
    message: { kind: 'pull', name: 'the given bytes', size: bytes.length },
    pull: () => {
      const chunk = bytes.slice(position, position + kChunk);
      position += chunk.length;
      return chunk.length > 0 ? chunk : null;
    },
  };
}

function fromRequest(request: Request): PostableSource {
  const init: RequestInit = { headers: [...request.headers] };
  for (const field of kRequestFields) {
    const value = request[field];
    if (value && value !== 'about:client' && !(field === 'mode' && value === 'navigate')) Object.assign(init, { [field]: value });
  }
  return { message: { kind: 'url', url: request.url, init }, pull: nothing };
}

function fromAddress(address: string): PostableSource {
  if (isNode && !/^[a-z][a-z0-9+.-]+:/i.test(address)) return { message: { kind: 'file', path: address }, pull: nothing };
  const url = absolute(address);
  if (isNode && url.protocol === 'file:') return { message: { kind: 'file', path: decodeURIComponent(url.pathname) }, pull: nothing };
  return { message: { kind: 'url', url: url.href, init: {} }, pull: nothing };
}

/** Resolves against the page: a worker would resolve against its own file. */
export function absolute(address: string): URL {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(address, base);
  } catch (thrown) {
    throw new KilnError('bad-option', `"${address}" is not an address`, { cause: thrown });
  }
}

export function postable(source: ModelSource): PostableSource {
  if (typeof source === 'string') return fromAddress(source);
  if (source instanceof URL) return fromAddress(source.href);
  if (source instanceof ArrayBuffer) return fromBytes(new Uint8Array(source));
  if (source instanceof Uint8Array) return fromBytes(source);
  if (typeof Blob !== 'undefined' && source instanceof Blob) return { message: { kind: 'blob', blob: source }, pull: nothing };
  if (typeof Request !== 'undefined' && source instanceof Request) return fromRequest(source);
  throw new KilnError('bad-option', 'loadModel takes a URL, a Request, an ArrayBuffer, a Uint8Array, a Blob or (in Node) a path');
}
