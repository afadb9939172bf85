// Reads chunks of a stream. They are fewer and larger than the engine's, if it lets us choose.

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

export type Reader = Pick<ByteSource, 'read' | 'release' | 'cancel'>;

const kSmallestSlab = 64 << 10;
const kLargestSlab = 1 << 20;
const kSlabMs = 20;
const kSpareSlabs = 4;

/** Frees a buffer now. A buffer that is only detached keeps its memory until the next garbage collection. */
export function free(buffer: ArrayBuffer): void {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(null, [buffer]);
  port1.close();
}

/**
 * Fills our own slabs: fewer and larger chunks, without the engine's copies. Their size follows the speed of the download, so that no byte
 * waits long. If the stream fails, a partial slab is lost.
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

export function readerOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>, size: number | undefined): Reader {
  try {
    return slabReader(stream.getReader({ mode: 'byob' }), size);
  } catch {
    return chunkReader(stream); // a stream that is not of bytes (WebKit's)
  }
}

/** Passes chunks on as they come. None is lost. */
export function chunkReader(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Reader {
  const reader = stream.getReader();
  return { read: async () => (await reader.read()).value ?? null, cancel: () => void reader.cancel().catch(() => undefined) };
}
