// Cuts packed weights into pieces. A piece is stored once, even if it belongs to several sizes of one model file.
import { kBlockBytes } from '../shared/manifest.js';

/** Everything that is packed begins at such a multiple. So equal data in two images has equal lines. */
const kLine = 64;
const kLeastBytes = 64 << 10;

/** About one line in 4096 begins a piece, by its content. So the same pieces follow even if something in front of them has another size. */
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
