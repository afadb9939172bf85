// The .onnx file without the bytes of its large weights: a skeleton, which is small, says of each where in the file it lies.
//
// An .onnx file is a message of Protocol Buffers. Messages stand in messages, each behind its length. A tensor's bytes are a field that is
// taken out; in its place the tensor says that it has external data, of no location, with an offset and a length. Everything else stays as
// it is, byte for byte. What of it makes no sense, the compiler says, which trusts neither.
import { KilnError } from '../shared/errors.js';
import type { FileBytes } from './file_bytes.js';

/** Tensors of no more bytes stay: the compiler looks at numbers that are sizes and axes. */
export const kLargeBytes = 1 << 16;
/** A skeleton of more bytes is refused, as the head of a .kiln file is. */
const kMostBytes = 256 << 20;
/** Graphs in graphs in graphs are searched so deep. */
const kMostDepth = 64;

type Kind = 'model' | 'graph' | 'node' | 'attribute' | 'function' | 'tensor';

/** Fields that hold messages with tensors in them. */
const kInside: Record<Kind, Record<number, Kind>> = {
  model: { 7: 'graph', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  tensor: {},
};

/** Fields of a tensor: the bytes of its elements, where they may lie so in the file; all that may hold elements; where they are if elsewhere. */
const kRaw = 9, kFloats = 4;
const kElements = [4, 5, 6, 7, 9, 10, 11];
const kExternalData = 13, kDataLocation = 14;

interface Field {
  number: number;
  wire: number;
  /** The field, with its key. */
  begin: number;
  end: number;
  /** Of bytes: where they begin, up to `end`. */
  content: number;
}

/** A part of the skeleton: bytes, or a range of the file. */
type Part = Uint8Array | { from: number; size: number };
const sizeOf = (part: Part): number => (part instanceof Uint8Array ? part.length : part.size);

const kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

function varint(value: number): number[] {
  const out: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  return [...out, value];
}
const message = (field: number, content: number[]): number[] => [...varint(field * 8 + kBytes), ...varint(content.length), ...content];
const text = (field: number, value: string): number[] => message(field, [...new TextEncoder().encode(value)]);

class Scanner {
  private at_ = 0;

  constructor(private readonly file_: FileBytes) {}

  /** The message from `begin` to `end` in parts, or null if it stays as it is. */
  message(kind: Kind, begin: number, end: number, depth: number): Part[] | null {
    if (kind === 'tensor') return this.tensor(begin, end);
    const parts: Part[] = [];
    let copied = begin;
    for (const field of this.fields(begin, end)) {
      const inside = field.wire === kBytes ? kInside[kind][field.number] : undefined;
      if (!inside || (inside === 'graph' && depth === kMostDepth)) continue;
      const cut = this.message(inside, field.content, field.end, inside === 'graph' ? depth + 1 : depth);
      if (!cut) continue;
      const size = cut.reduce((sum, part) => sum + sizeOf(part), 0);
      parts.push({ from: copied, size: field.begin - copied }, Uint8Array.from([...varint(field.number * 8 + kBytes), ...varint(size)]));
      for (const part of cut) parts.push(part);
      copied = field.end;
    }
    if (parts.length === 0) return null;
    parts.push({ from: copied, size: end - copied });
    return parts;
  }

  /** Only a tensor with one field of elements is cut: what several of them mean, the compiler says. */
  private tensor(begin: number, end: number): Part[] | null {
    if (end - begin <= kLargeBytes) return null;
    const fields = [...this.fields(begin, end)];
    const [elements, ...more] = fields.filter(({ number }) => kElements.includes(number));
    const elsewhere = fields.some(({ number }) => number === kExternalData || number === kDataLocation);
    if (!elements || more.length > 0 || elsewhere || elements.wire !== kBytes || ![kRaw, kFloats].includes(elements.number)) return null;
    const size = elements.end - elements.content;
    if (size <= kLargeBytes) return null;
    const entry = (key: string, value: number): number[] => message(kExternalData, [...text(1, key), ...text(2, String(value))]);
    const instead = [...entry('offset', elements.content), ...entry('length', size), kDataLocation * 8, 1];
    return [{ from: begin, size: elements.begin - begin }, Uint8Array.from(instead), { from: elements.end, size: end - elements.end }];
  }

  private *fields(begin: number, end: number): Generator<Field> {
    for (let at = begin; at < end; ) {
      const fieldBegin = at;
      this.at_ = at;
      const key = this.varint(end);
      const number = Math.floor(key / 8), wire = key % 8;
      if (number === 0 || key >= 2 ** 35) this.damaged(fieldBegin);
      let content = this.at_;
      if (wire === kVarint) this.varint(end);
      else if (wire === kFixed64) this.at_ += 8;
      else if (wire === kFixed32) this.at_ += 4;
      else if (wire === kBytes) {
        const size = this.varint(end);
        content = this.at_;
        this.at_ += size; // of up to 2^70: still a number
      } else this.damaged(fieldBegin); // groups, which nobody writes any more
      if (this.at_ > end) this.damaged(fieldBegin);
      at = this.at_;
      yield { number, wire, begin: fieldBegin, end: at, content };
    }
  }

  /** At `at_`, behind which it goes. Beyond 2^53 it is not exact, but large. */
  private varint(end: number): number {
    const begin = this.at_;
    let value = 0, scale = 1;
    for (let i = 0; i < 10 && this.at_ < end; i++, scale *= 128) {
      const byte = this.file_.byte(this.at_++);
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    return this.damaged(begin);
  }

  private damaged(at: number): never {
    throw new KilnError('bad-file', `${this.file_.name} is damaged, truncated or no .onnx file: what begins at byte ${at} of ${this.file_.size} goes on beyond its end, or is nothing that Protocol Buffers have; download or export it again`, { where: `byte ${at}` });
  }
}

export function skeletonOf(file: FileBytes): Uint8Array<ArrayBuffer> {
  const parts = new Scanner(file).message('model', 0, file.size, 0) ?? [{ from: 0, size: file.size }];
  const size = parts.reduce((sum, part) => sum + sizeOf(part), 0);
  if (size > kMostBytes) throw new KilnError('bad-file', `${file.name} has ${size} bytes besides large weights stored as such, more than any graph: save it again with onnx.save()`, { where: file.name });
  const skeleton = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    if (part instanceof Uint8Array) skeleton.set(part, at);
    else file.copy(part.from, skeleton.subarray(at, at + part.size));
    at += sizeOf(part);
  }
  return skeleton;
}
