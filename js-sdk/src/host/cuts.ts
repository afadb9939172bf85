// Where packed weights are cut into pieces that are stored once, however many models of one file they are part of.
import { kBlockBytes } from '../shared/manifest.js';

/** Whatever is packed begins at such a multiple, so that lines of two images that hold the same are the same lines. */
const kLine = 64;
const kLeastBytes = 64 << 10;

/** One line in 4096 begins a piece, by what it holds: where something before it has another size, the same pieces follow. */
const begins = (word: number): boolean => Math.imul(word ^ 0x9e3779b9, 0x85ebca6b) >>> 20 === 0;

export function* cut(image: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  for (let begin = 0; begin < image.length; ) {
    const most = Math.min(begin + kBlockBytes, image.length);
    let end = begin + kLeastBytes;
    while (end + 4 <= most && !begins(view.getInt32(end, true))) end += kLine;
    if (end + 4 > most) end = most;
    yield image.subarray(begin, end);
    begin = end;
  }
}
