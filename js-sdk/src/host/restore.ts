// Packed weights that an earlier visit kept, back to their place. The first touch of fresh memory takes most of the time, so several workers do it.
import { kBlockBytes } from '../shared/manifest.js';
import type { RestoreRequest } from '../shared/messages.js';
import { Digest } from './digest.js';

/** FileSystemSyncAccessHandle, which the types of pages lack. */
export interface AccessHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(bytes: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
export interface FileHandle {
  createSyncAccessHandle(options?: { mode: 'read-only' }): Promise<AccessHandle>;
  getFile(): Promise<File>;
}

const kNext = 0;
const kDone = 1;

/** The hash of each block. */
export function blockHashes(bytes: Uint8Array, digest: Digest): BigUint64Array<ArrayBuffer> {
  const hashes = new BigUint64Array(Math.ceil(bytes.length / kBlockBytes));
  return hashes.map((_, block) => digest.chain(bytes.subarray(block * kBlockBytes, (block + 1) * kBlockBytes)));
}

/** Takes blocks until there are none left, or one is damaged. They are hashed on the way, while they lie in the processor's cache. */
export function restoreBlocks(file: AccessHandle, { at, image, hashes, progress }: RestoreRequest, digest: Digest): void {
  for (let block; (block = Atomics.add(progress, kNext, 1)) < hashes.length; ) {
    const begin = block * kBlockBytes;
    const place = image.subarray(begin, begin + kBlockBytes);
    digest.fill(place.length, (room, done) => {
      file.read(room, { at: at + begin + done });
      place.set(room, done);
    });
    if (digest.take() !== hashes[block]) return void Atomics.store(progress, kNext, hashes.length);
    Atomics.add(progress, kDone, 1);
  }
}

export function restored({ hashes, progress }: RestoreRequest): boolean {
  return Atomics.load(progress, kDone) === hashes.length;
}

export function newProgress(shared: boolean): Int32Array {
  return new Int32Array(shared ? new SharedArrayBuffer(8) : new ArrayBuffer(8));
}

/** What a worker does that has nothing else to do. Where a file is open but once (in Firefox and Safari) nothing; the host does all. */
export async function helpRestore(request: RestoreRequest): Promise<null> {
  const digest = await Digest.create();
  const file = await (request.file as unknown as FileHandle).createSyncAccessHandle({ mode: 'read-only' }).catch(() => null);
  try {
    if (file) restoreBlocks(file, request, digest);
  } finally {
    file?.close();
  }
  return null;
}
