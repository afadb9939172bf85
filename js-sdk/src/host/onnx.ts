// An .onnx file is loaded as if it were a .kiln file: its skeleton is the head, and its weights follow in the order in which the compiler
// wants them.
import { KilnError } from '../shared/errors.js';
import type { Pieces } from '../shared/messages.js';
import { weightsBeginOf } from '../shared/formats.js';
import { FileBytes } from './file_bytes.js';
import type { Prefetcher } from './prefetch.js';
import type { ByteSource } from './reader.js';
import { skeletonOf } from './skeleton.js';
import { insist } from './verify.js';

/** What Protocol Buffers can say of a message's size. */
const kMostBytes = 2 ** 31 - 1;
const kChunk = 1 << 20;

/** Reads all that a stream brings: the head, and the weights that follow it, for which `ask` asks the compiler. */
export async function openOnnx(
  stream: Prefetcher, integrity: string[] | null, ask: (skeleton: Uint8Array<ArrayBuffer>, fileBytes: number) => Promise<Pieces>): Promise<{ skeleton: Uint8Array<ArrayBuffer>; weights: ByteSource }> {
  const file = await FileBytes.read(stream, kMostBytes);
  if (integrity) await insist(integrity, file.whole(), file.name);
  const skeleton = skeletonOf(file);
  const pieces = await ask(skeleton, file.size);
  return { skeleton, weights: weightsSource(file, pieces, weightsBeginOf(skeleton) - skeleton.length) };
}

interface Piece {
  offset: number;
  size: number;
  /** Of the file, or ~from in what was made. */
  from: number;
}

/** The answer of kiln_pieces() (runtime/web_api.h). */
export function parsePieces(answer: Uint8Array<ArrayBuffer>, fileBytes: number): { weightsBytes: number; pieces: Piece[]; made: Uint8Array } {
  const wrong = (): never => {
    throw new KilnError('internal', 'the compiler and this SDK do not fit together: install both from the same version');
  };
  if (answer.length < 16) wrong();
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const number = (i: number): number => Number(view.getBigInt64(i * 8, true));
  const weightsBytes = number(0), count = number(1);
  const begin = 16 + count * 24;
  if (!(count >= 0 && begin <= answer.length)) wrong();
  const made = answer.subarray(begin);
  let end = 0;
  const pieces = Array.from({ length: count }, (_, i): Piece => {
    const [offset, size, from] = [number(2 + 3 * i), number(3 + 3 * i), number(4 + 3 * i)] as [number, number, number];
    const there = from < 0 ? -1 - from + size <= made.length : from + size <= fileBytes;
    if (!(size > 0 && offset >= end && there)) wrong();
    end = offset + size;
    return { offset, size, from };
  });
  if (!(weightsBytes >= end && Number.isSafeInteger(weightsBytes))) wrong();
  return { weightsBytes, pieces, made };
}

/** The weights behind `padding` zeros. What has been read is not in the file any more. */
export function weightsSource(file: FileBytes, { answer }: Pieces, padding: number): ByteSource {
  const { weightsBytes, pieces, made } = parsePieces(answer, file.size);
  file.keepOnly(pieces.filter(({ from }) => from >= 0));
  let at = 0;
  let next = 0;
  const fill = (chunk: Uint8Array): void => {
    const begin = at - padding, end = begin + chunk.length;
    for (let piece; (piece = pieces[next]) && piece.offset < end; next++) {
      const { offset, size, from } = piece;
      const first = Math.max(offset, begin), last = Math.min(offset + size, end);
      const to = chunk.subarray(first - begin, last - begin);
      const ended = last === offset + size;
      if (from < 0) to.set(made.subarray(-1 - from + first - offset).subarray(0, to.length));
      else {
        file.copy(from + first - offset, to);
        file.done(from + first - offset, to.length, ended);
      }
      if (!ended) return;
    }
  };
  return {
    name: file.name,
    size: padding + weightsBytes,
    read: () => {
      const chunk = new Uint8Array(Math.min(kChunk, padding + weightsBytes - at));
      if (chunk.length === 0) return Promise.resolve(null);
      fill(chunk);
      at += chunk.length;
      return Promise.resolve(chunk);
    },
    cancel: () => undefined,
  };
}
