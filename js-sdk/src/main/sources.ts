import type * as Url from 'node:url';
import { Transferred } from '../shared/channel.js';
import { KilnError } from '../shared/errors.js';
import { looksLikeOnnx } from '../shared/formats.js';
import type { ModelFormat, SourceMessage } from '../shared/messages.js';
import { isSandboxed } from '../shared/module.js';
import { isNode, nodeModule } from '../shared/node.js';
import type { ModelSource } from '../options.js';
import { shown } from './checks.js';

type Pulled = Transferred<Uint8Array<ArrayBuffer>> | null;

/** A source that can be posted, and the function that answers requests for its chunks. */
export interface PostableSource {
  message: SourceMessage;
  /** What it seems to be, before its bytes are there. */
  format: ModelFormat;
  pull: () => Pulled | Promise<Pulled>;
}

const kChunk = 1 << 20;
const kBlobName = 'the given blob';
const kRequestFields = ['method', 'credentials', 'mode', 'cache', 'redirect', 'referrer', 'referrerPolicy', 'integrity'] as const;

const nothing = (): null => null;
const formatOf = (name: string): ModelFormat => (/\.onnx$/i.test(name) ? 'onnx' : 'kiln');
const gone = (cause?: unknown): KilnError => new KilnError('bad-option', 'the buffer of the model has been transferred away: its bytes are no longer there', { cause });

/** Copies chunk by chunk, so that the bytes are never all there twice. */
function fromBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): PostableSource {
  if ((buffer as { detached?: boolean }).detached) throw gone();
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  let position = 0;
  return {
    message: { kind: 'pull', name: 'the given bytes', size: bytes.length },
    format: looksLikeOnnx(bytes) ? 'onnx' : 'kiln',
    pull: () => {
      const chunk = bytes.slice(position, position + kChunk);
      position += chunk.length;
      return chunk.length > 0 ? new Transferred(chunk, [chunk.buffer]) : null;
    },
  };
}

/** A worker reads it, unless the worker's origin differs from the page's and it may not. */
function fromBlob(blob: Blob): PostableSource {
  const format = formatOf((blob as Partial<File>).name ?? '');
  if (!isSandboxed()) return { message: { kind: 'blob', blob }, format, pull: nothing };
  let position = 0;
  const pull = async (): Promise<Pulled> => {
    const buffer = await blob.slice(position, (position += kChunk)).arrayBuffer().catch((thrown: unknown) => {
      throw new KilnError('network', `${kBlobName} cannot be read any further: the file that it stands for may have changed or gone`, { where: kBlobName, cause: thrown });
    });
    return buffer.byteLength > 0 ? new Transferred(new Uint8Array(buffer), [buffer]) : null;
  };
  return { message: { kind: 'pull', name: kBlobName, size: blob.size }, format, pull };
}

function fromRequest(request: Request): PostableSource {
  const init: RequestInit = { headers: [...request.headers] };
  for (const field of kRequestFields) {
    const value = request[field];
    if (value && value !== 'about:client' && !(field === 'mode' && value === 'navigate')) Object.assign(init, { [field]: value });
  }
  return { message: { kind: 'url', url: request.url, init }, format: formatOf(new URL(request.url).pathname), pull: nothing };
}

function pathOf(url: URL): string {
  try {
    return nodeModule<typeof Url>('url').fileURLToPath(url);
  } catch (thrown) {
    throw new KilnError('bad-option', `${url.href} is not the address of a file here`, { cause: thrown });
  }
}

function fromAddress(address: string): PostableSource {
  if (address === '') throw new KilnError('bad-option', 'the address of the model is empty');
  if (isNode && !/^[a-z][a-z0-9+.-]+:/i.test(address)) return { message: { kind: 'file', path: address }, format: formatOf(address), pull: nothing };
  const url = absolute(address);
  if (isNode && url.protocol === 'file:') return { message: { kind: 'file', path: pathOf(url) }, format: formatOf(url.pathname), pull: nothing };
  return { message: { kind: 'url', url: url.href, init: {} }, format: formatOf(url.pathname), pull: nothing };
}

/** Resolves against the page's address. A worker would resolve against its own file. */
export function absolute(address: string): URL {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(address, base);
  } catch (thrown) {
    throw new KilnError('bad-option', `"${address}" is not an address`, { cause: thrown });
  }
}

/** Tests by the objects' own type names, so objects of another frame count too. */
export function postable(source: ModelSource): PostableSource {
  if (typeof source === 'string') return fromAddress(source);
  if (ArrayBuffer.isView(source)) return fromBytes(source);
  const given: { [kind: string]: () => PostableSource } = {
    URL: () => fromAddress((source as URL).href),
    ArrayBuffer: () => fromBytes(viewOf(source as ArrayBuffer)),
    SharedArrayBuffer: () => fromBytes(viewOf(source as SharedArrayBuffer)),
    Blob: () => fromBlob(source as Blob),
    Request: () => fromRequest(source as Request),
  };
  const kind = Object.prototype.toString.call(source).slice('[object '.length, -1).replace('File', 'Blob');
  const take = Object.hasOwn(given, kind) ? given[kind] : undefined;
  if (take) return take();
  const hint = kind === 'Response' ? '; of a Response pass the URL, or await response.arrayBuffer()' : '';
  throw new KilnError('bad-option', `loadModel takes a URL, a Request, an ArrayBuffer, a Uint8Array, a Blob or (in Node) a path, not ${shown(source)}${hint}`);
}

function viewOf(buffer: ArrayBufferLike): ArrayBufferView {
  try {
    return new Uint8Array(buffer);
  } catch (thrown) {
    throw gone(thrown);
  }
}
