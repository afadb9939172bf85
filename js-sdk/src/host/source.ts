// The model's bytes as a stream of chunks, wherever they come from.
import type * as Fs from 'node:fs';
import { asKilnError, KilnError } from '../shared/errors.js';
import { answerOf } from '../shared/fetching.js';
import type { SourceMessage } from '../shared/messages.js';
import { nodeModule } from '../shared/node.js';

export interface ByteSource {
  /** For messages: URL, path or "the given bytes". */
  name: string;
  size: number | undefined;
  /** The next chunk, or null at the end. */
  read(): Promise<Uint8Array | null>;
  cancel(): void;
  /** Gives back the buffer of a chunk that is not needed any more. */
  release?(buffer: ArrayBufferLike): void;
}

type Reader = Pick<ByteSource, 'read' | 'release' | 'cancel'>;

const kSmallestSlab = 64 << 10;
const kLargestSlab = 1 << 20;
const kSlabMs = 20;
const kSpareSlabs = 4;

/** Frees a buffer now: one that is merely detached keeps its memory until the garbage collector comes by. */
function free(buffer: ArrayBuffer): void {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(null, [buffer]);
  port1.close();
}

/**
 * Fills slabs of our own: fewer and larger chunks, without the engine's copies. Their size follows the speed of the download,
 * so that no byte waits long for those behind it.
 */
function slabReader(reader: ReadableStreamBYOBReader, total = Infinity): Reader {
  let size = kSmallestSlab;
  let left = total;
  const spare: ArrayBuffer[] = [];
  const read = async (): Promise<Uint8Array | null> => {
    const start = performance.now();
    const room = Math.min(size, Math.max(left, 1)); // at the end there is nothing to be read but the end
    let buffer = room === kLargestSlab ? (spare.pop() ?? new ArrayBuffer(room)) : new ArrayBuffer(room);
    for (let filled = 0; ; ) {
      const { value, done } = await reader.read(new Uint8Array(buffer, filled));
      if (!value) return null; // cancelled
      buffer = value.buffer;
      filled += value.length;
      if (!done && filled < room) continue;
      size = performance.now() - start < kSlabMs ? Math.min(size * 2, kLargestSlab) : Math.max(size / 2, kSmallestSlab);
      left -= filled;
      return filled > 0 ? new Uint8Array(buffer, 0, filled) : null;
    }
  };
  const release = (buffer: ArrayBufferLike): void => {
    if (buffer.byteLength === kLargestSlab && spare.length < kSpareSlabs) spare.push(buffer as ArrayBuffer);
    else free(buffer as ArrayBuffer);
  };
  const cancel = (): void => {
    spare.splice(0).forEach(free);
    void reader.cancel().catch(() => undefined);
  };
  return { read, release, cancel };
}

function readerOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>, size: number | undefined): Reader {
  try {
    return slabReader(stream.getReader({ mode: 'byob' }), size);
  } catch {
    const reader = stream.getReader(); // a stream that is not of bytes (WebKit's)
    return { read: async () => (await reader.read()).value ?? null, cancel: () => void reader.cancel().catch(() => undefined) };
  }
}

function ofStream(name: string, size: number | undefined, stream: ReadableStream<Uint8Array<ArrayBuffer>>): ByteSource {
  const reader = readerOf(stream, size);
  return {
    ...reader,
    name,
    size,
    read: async () => {
      try {
        return await reader.read();
      } catch (thrown) {
        throw new KilnError('network', `the download of ${name} broke off; try again`, { where: name, cause: thrown });
      }
    },
  };
}

async function ofUrl(url: string, init: RequestInit, stallTimeoutMs: number): Promise<ByteSource> {
  let response: Response;
  try {
    response = await answerOf(url, stallTimeoutMs, init);
  } catch (thrown) {
    if (thrown instanceof KilnError) throw thrown;
    throw new KilnError('network', `${url} cannot be fetched: check the address, the connection and the server's CORS headers`, { where: url, cause: thrown });
  }
  if (!response.ok) throw new KilnError('network', `${url} answered ${response.status} ${response.statusText}`.trim(), { where: url });
  if (!response.body) throw new KilnError('network', `${url} answered with nothing`, { where: url });
  const length = Number(response.headers.get('content-length') ?? NaN);
  const exact = !response.headers.get('content-encoding') && Number.isSafeInteger(length);
  return ofStream(url, exact ? length : undefined, response.body);
}

async function ofFile(path: string): Promise<ByteSource> {
  const { open } = nodeModule<typeof Fs>('fs').promises;
  try {
    const file = await open(path, 'r');
    const { size } = await file.stat();
    const kChunk = 1 << 20;
    return {
      name: path,
      size,
      read: async () => {
        const { bytesRead, buffer } = await file.read(new Uint8Array(kChunk), 0, kChunk);
        return bytesRead > 0 ? buffer.subarray(0, bytesRead) : null;
      },
      cancel: () => void file.close().catch(() => undefined),
    };
  } catch (thrown) {
    throw asKilnError(thrown, 'network', `the file ${path} cannot be read`);
  }
}

export async function openSource(source: SourceMessage, stallTimeoutMs: number, pull: () => Promise<Uint8Array | null>): Promise<ByteSource> {
  switch (source.kind) {
    case 'url':
      return ofUrl(source.url, source.init, stallTimeoutMs);
    case 'file':
      return ofFile(source.path);
    case 'blob':
      return ofStream('the given blob', source.blob.size, source.blob.stream());
    case 'pull':
      return { name: source.name, size: source.size < 0 ? undefined : source.size, read: pull, cancel: () => undefined };
  }
}
