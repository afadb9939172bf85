import { shown, suggestion, quoted, isObject } from './main/checks.js';
import { KilnError } from './shared/errors.js';
import { elements, kElementBytes, type DType, type PortInfo } from './shared/manifest.js';

export type { DType } from './shared/manifest.js';

const kArrays = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} as const;
const kTypes = Object.keys(kArrays);

/** Bytes of a port's values. */
export const bytesOf = ({ dtype, shape }: PortInfo): number => elements(shape) * kArrays[dtype].BYTES_PER_ELEMENT;

/** A Float16Array. Not every engine has one. */
export interface HalfFloats extends ArrayBufferView {
  readonly [Symbol.toStringTag]: 'Float16Array';
  readonly length: number;
}

/** The array class that holds a type. 16-bit floats are held as their bits. */
export type DataOf<T extends DType> = InstanceType<(typeof kArrays)[T]>;
/** What the constructor also accepts: numbers, booleans for bool, BigInts for int64 and uint64, a Float16Array for float16. The type must hold every value exactly; only float32 may round. */
export type DataLike<T extends DType> =
  | DataOf<T>
  | (T extends 'float16' ? HalfFloats : T extends 'bfloat16' ? never : ArrayLike<number>)
  | (T extends 'int64' | 'uint64' ? ArrayLike<bigint> : never)
  | (T extends 'bool' ? ArrayLike<boolean> : never);

/** A dense, row-major array with a type and a shape. */
export class Tensor<T extends DType = DType> {
  /** @internal So that it is called so in a page's console as well. */
  static readonly name = 'Tensor';
  readonly type: T;
  readonly data: DataOf<T>;
  readonly shape: readonly number[];

  /**
   * If `data` has the type's own array class, the tensor uses it without a copy. Anything else is converted, and a value that the type cannot hold
   * is an error. Without a shape the tensor is a vector.
   */
  constructor(type: T, data: DataLike<T>, shape: readonly number[] = [(data as ArrayLike<unknown> | null)?.length ?? 0]) {
    if (!kTypes.includes(type)) throw bad(`${shown(type)} is no tensor type: ${typeof type === 'string' ? suggestion(type, kTypes) : ''}there are ${kTypes.join(', ')}`);
    const length: unknown = typeof data === 'string' ? null : (data as ArrayLike<unknown> | null | undefined)?.length;
    if (!Number.isSafeInteger(length)) throw bad(`the data of a tensor is an array or a typed array, not ${shown(data)}`);
    const dims: unknown = isObject(shape) || Array.isArray(shape) ? Array.from(shape as number[]) : null;
    if (!Array.isArray(dims) || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw bad(`the shape of a tensor is an array of whole numbers that are not negative, not ${Array.isArray(dims) ? `[${dims.map(shown).join(', ')}]` : shown(shape)}`);
    }
    if (elements(dims as number[]) !== length) throw bad(`the shape [${dims.join(', ')}] has ${elements(dims as number[])} elements, the data has ${length as number}`);
    this.type = type;
    this.data = convert(type, data);
    this.shape = Object.freeze(dims as number[]);
  }

  /** A tensor over the bytes of an input or output. */
  static fromBytes(port: PortInfo, bytes: ArrayBuffer): Tensor {
    return Tensor.over(port, new Uint8Array(bytes));
  }

  /** @internal The same for bytes that may be shared. */
  static over(port: PortInfo, { buffer, byteOffset }: Uint8Array): Tensor {
    return new Tensor(port.dtype, new kArrays[port.dtype](buffer as ArrayBuffer, byteOffset, elements(port.shape)), port.shape);
  }
}

const bad = (message: string, where = ''): KilnError => new KilnError('bad-input', message, { where });

interface Takes {
  fits: (value: unknown) => boolean;
  words: string;
}
const wholeFrom = (least: number, most: number): Takes => ({
  fits: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  words: `takes whole numbers from ${least} to ${most}`,
});
/** Of 64 bits: `cut` leaves the numbers that fit as they are. */
const longFrom = (cut: (value: bigint) => bigint, from: string): Takes => ({
  fits: (value) => (typeof value === 'bigint' || Number.isSafeInteger(value)) && cut(BigInt(value as number | bigint)) === BigInt(value as number | bigint),
  words: `takes whole numbers${from}, and BigInts where they may be beyond 2^53`,
});
const bits = (also: string): Takes => ({ fits: () => false, words: `takes its bits as a Uint16Array${also}, since plain numbers might be either` });

/** What each type can hold. */
const kTakes: Record<DType, Takes> = {
  float32: { fits: (value) => typeof value === 'number', words: 'takes numbers' },
  float16: bits(' or a Float16Array'),
  bfloat16: bits(''),
  int8: wholeFrom(-128, 127),
  uint8: wholeFrom(0, 255),
  int32: wholeFrom(-(2 ** 31), 2 ** 31 - 1),
  int64: longFrom((value) => BigInt.asIntN(64, value), ''),
  bool: { fits: (value) => typeof value === 'boolean' || value === 0 || value === 1, words: 'takes true and false, or 1 and 0' },
  int16: wholeFrom(-(2 ** 15), 2 ** 15 - 1),
  uint16: wholeFrom(0, 2 ** 16 - 1),
  uint32: wholeFrom(0, 2 ** 32 - 1),
  uint64: longFrom((value) => BigInt.asUintN(64, value), ' from 0 on'),
};

function convert<T extends DType>(type: T, data: DataLike<T>): DataOf<T> {
  const ArrayOf = kArrays[type];
  if (data instanceof ArrayOf) return data;
  if (type === 'float16' && Object.prototype.toString.call(data) === '[object Float16Array]') {
    const { buffer, byteOffset, length } = data as HalfFloats;
    return new Uint16Array(buffer as ArrayBuffer, byteOffset, length) as DataOf<T>;
  }
  const values = data as ArrayLike<unknown>;
  const { fits, words } = kTakes[type];
  for (let i = 0; i < values.length; i++) {
    if (fits(values[i])) continue;
    const hint = Array.isArray(values[i]) ? ': pass all values in one flat array, and the shape' : '';
    throw bad(`element ${i} of the data is ${shown(values[i])}, but ${type} ${words}${hint}`, `element ${i}`);
  }
  if (kElementBytes[type] === 8) return (ArrayOf as typeof BigInt64Array).from(values as ArrayLike<number>, (x: number | bigint) => BigInt(x)) as DataOf<T>;
  return new ArrayOf(values as ArrayLike<number> & ArrayLike<bigint>) as DataOf<T>;
}

/** `float32[1, 4]` */
const typed = (type: string, shape: readonly number[]): string => `${type}[${shape.join(', ')}]`;

/** A tensor of this SDK, or of another copy of it. */
const isTensor = (value: unknown): value is Tensor => isObject(value) && typeof value['type'] === 'string' && ArrayBuffer.isView(value['data']) && Array.isArray(value['shape']);

/** Each input's data in the model's order, or a KilnError that names what was expected. */
export function orderInputs(ports: readonly PortInfo[], inputs: Record<string, Tensor>): DataOf<DType>[] {
  const names = ports.map((p) => p.name);
  if (!isObject(inputs) || isTensor(inputs)) throw bad(`the inputs are an object of Tensors by name, { ${names.slice(0, 3).join(', ')} }, not ${shown(inputs)}`);
  const stranger = Object.keys(inputs).find((name) => !names.includes(name));
  if (stranger !== undefined) throw bad(`the model has no input "${stranger}": ${suggestion(stranger, names)}its inputs are ${quoted(names)}`, stranger);
  return ports.map((port) => {
    const tensor: unknown = inputs[port.name];
    const expected = typed(port.dtype, port.shape);
    if (tensor === undefined) throw bad(`the input "${port.name}" is missing: pass a Tensor ${expected}`, port.name);
    if (!isTensor(tensor)) throw bad(`the input "${port.name}" must be a Tensor, new Tensor('${port.dtype}', data, [${port.shape.join(', ')}]), not ${shown(tensor)}`, port.name);
    const { data, type, shape } = tensor;
    if (!(data instanceof kArrays[port.dtype]) || type !== port.dtype || shape.join() !== port.shape.join()) throw bad(`the input "${port.name}" must be ${expected}, not ${typed(type, shape)}`, port.name);
    if (data.length !== elements(port.shape)) {
      const why = (data.buffer as { detached?: boolean }).detached ? ': its buffer has been transferred away' : '';
      throw bad(`the input "${port.name}" has ${data.length} elements, ${expected} has ${elements(port.shape)}${why}`, port.name);
    }
    if (port.dtype === 'bool') checkBool(port.name, data as Uint8Array);
    return data;
  });
}

/** Kernels rely on 0 and 1, but the bytes of a tensor may be anything. */
function checkBool(name: string, data: Uint8Array): void {
  const at = data.findIndex((value) => value > 1);
  if (at >= 0) throw bad(`the input "${name}" is bool and holds ${data[at] as number} at element ${at}: there are only 0 and 1`, name);
}

/**
 * A copy of each input's bytes. `spare` are buffers of an earlier call, which are filled again. Fresh memory would cost ten times as much
 * as the copy.
 */
export function packInputs(inputs: readonly DataOf<DType>[], spare: readonly ArrayBuffer[] = []): ArrayBuffer[] {
  return inputs.map((data, i) => {
    const buffer = spare[i];
    if (!buffer) return copyOf(data).buffer;
    new Uint8Array(buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return buffer;
  });
}

/** The bytes of an array, in a buffer of their own that is not shared. (slice() of Node's Buffer copies nothing.) */
export function copyOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength).slice();
}
