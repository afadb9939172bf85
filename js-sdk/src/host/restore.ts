// Reads packed weights of an earlier visit back to their place. The first touch of fresh memory takes most of the time, so several workers
// do it.
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

/** The fields of a piece: where it lies in the file, its bytes, its hash. */
export const kPieceWords = 3;

/** Takes pieces until none are left or one is damaged. Each is hashed on the way, while it lies in the processor's cache. */
export function restoreBlocks(file: AccessHandle, { image, pieces, progress }: RestoreRequest, digest: Digest): void {
  const count = pieces.length / kPieceWords;
  for (let piece, passed = 0, begin = 0; (piece = Atomics.add(progress, kNext, 1)) < count; ) {
    for (; passed < piece; passed++) begin += Number(pieces[passed * kPieceWords + 1]);
    const [from, bytes, hash] = pieces.subarray(piece * kPieceWords, (piece + 1) * kPieceWords) as unknown as [bigint, bigint, bigint];
    const place = image.subarray(begin, begin + Number(bytes));
    digest.fill(place.length, (room, done) => {
      room.fill(0, file.read(room, { at: Number(from) + done })); // a file may have been cut
      place.set(room, done);
    });
    if (digest.take() !== hash) return void Atomics.store(progress, kNext, count);
    Atomics.add(progress, kDone, 1);
  }
}

export function restored({ pieces, progress }: RestoreRequest): boolean {
  return Atomics.load(progress, kDone) === pieces.length / kPieceWords;
}

export function newProgress(shared: boolean): Int32Array {
  return new Int32Array(shared ? new SharedArrayBuffer(8) : new ArrayBuffer(8));
}

/** The work of an idle worker. If a file can be open only once (Firefox and Safari) it does nothing, and the host does everything. */
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
