// .onnx files, written field by field.

export type Bytes = Uint8Array<ArrayBuffer>;
const joined = (parts: Uint8Array[]): Bytes => {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};
const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

/** `width`: at least so many bytes; more than are needed are legal. */
export function varint(value: number, width = 1): Bytes {
  const out: number[] = [];
  for (let left = value; left > 0 || out.length < width; left = Math.floor(left / 128)) out.push((left % 128) + 128);
  out[out.length - 1] = (out.at(-1) as number) - 128;
  return Uint8Array.from(out);
}
/** A field of bytes, text or a message, given as its fields; or of a number. */
export function field(number: number, value: number | string | Uint8Array | Uint8Array[], width = 1): Bytes {
  if (typeof value === 'number') return joined([varint(number * 8), varint(value, width)]);
  const content = typeof value === 'string' ? utf8(value) : Array.isArray(value) ? joined(value) : value;
  return joined([varint(number * 8 + 2), varint(content.length, width), content]);
}

const kFloat = 1;
export const bytesOf = (numbers: Float32Array): Bytes => new Uint8Array(numbers.slice().buffer);
export const tensor = (name: string, dims: number[], numbers: Float32Array): Bytes[] => [...dims.map((dim) => field(1, dim)), field(2, kFloat), field(8, name), field(9, bytesOf(numbers))];
const port = (name: string, dims: number[]): Bytes[] => [field(1, name), field(2, [field(1, [field(1, kFloat), field(2, dims.map((dim) => field(1, [field(1, dim)])))])])];

export interface Node {
  op: string;
  inputs: string[];
  outputs: string[];
  attributes?: Bytes[][];
}
const node = ({ op, inputs, outputs, attributes = [] }: Node): Bytes[] => [...inputs.map((name) => field(1, name)), ...outputs.map((name) => field(2, name)), field(3, `the ${op}`), field(4, op), ...attributes.map((each) => field(5, each))];
export const tensorAttribute = (name: string, value: Bytes[]): Bytes[] => [field(1, name), field(20, 4), field(5, value)];
export const graphAttribute = (name: string, value: Bytes[]): Bytes[] => [field(1, name), field(20, 5), field(6, value)];

export interface Tiny {
  nodes: Node[];
  inputs: [string, number[]][];
  outputs: [string, number[]][];
  tensors?: Bytes[][];
}
export const graph = ({ nodes, inputs, outputs, tensors = [] }: Tiny): Bytes[] => [
  ...nodes.map((each) => field(1, node(each))), field(2, 'tiny'), ...inputs.map(([name, dims]) => field(11, port(name, dims))), ...outputs.map(([name, dims]) => field(12, port(name, dims))), ...tensors.map((each) => field(5, each)),
];
export const model = (tiny: Tiny): Bytes => joined([field(1, 8), field(2, 'tests'), field(8, [field(2, 17)]), field(7, graph(tiny))]);
