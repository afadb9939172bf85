import { KilnError } from './shared/errors.js';
import { elements, type DType, type PortInfo } from './shared/manifest.js';

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
} as const;

/** Bytes of a port's values. */
export const bytesOf = ({ dtype, shape }: PortInfo): number => elements(shape) * kArrays[dtype].BYTES_PER_ELEMENT;

/** The array that holds a type; the 16-bit floats come as their bits. */
export type DataOf<T extends DType> = InstanceType<(typeof kArrays)[T]>;
/** What a constructor accepts besides: plain numbers, booleans for bool, an Int32Array for int64. */
export type DataLike<T extends DType> = DataOf<T> | ArrayLike<number> | (T extends 'int64' ? ArrayLike<bigint> : never) | (T extends 'bool' ? ArrayLike<boolean> : never);

/** A dense, row-major array with a type and a shape. */
export class Tensor<T extends DType = DType> {
  readonly type: T;
  readonly data: DataOf<T>;
  readonly shape: readonly number[];

  /** `data` of the type's own array class is used as it is, anything else is converted. Without a shape it is a vector. */
  constructor(type: T, data: DataLike<T>, shape: readonly number[] = [data.length]) {
    if (!(type in kArrays)) throw new KilnError('bad-input', `"${type}" is no tensor type; there are ${Object.keys(kArrays).join(', ')}`);
    if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw new KilnError('bad-input', `the shape [${shape.join(', ')}] must be whole numbers that are not negative`);
    }
    if (elements(shape) !== data.length) {
      throw new KilnError('bad-input', `the shape [${shape.join(', ')}] has ${elements(shape)} elements, the data has ${data.length}`);
    }
    this.type = type;
    this.data = convert(type, data);
    this.shape = Object.freeze([...shape]);
  }

  /** Wraps the bytes of an input or output. */
  static fromBytes(port: PortInfo, bytes: ArrayBuffer): Tensor {
    return Tensor.over(port, new Uint8Array(bytes));
  }

  /** @internal The same for bytes that may be shared. */
  static over(port: PortInfo, { buffer, byteOffset }: Uint8Array): Tensor {
    return new Tensor(port.dtype, new kArrays[port.dtype](buffer as ArrayBuffer, byteOffset, elements(port.shape)), port.shape);
  }
}

function convert<T extends DType>(type: T, data: DataLike<T>): DataOf<T> {
  const ArrayOf = kArrays[type];
  if (data instanceof ArrayOf) return data;
  try {
    if (type === 'int64') return BigInt64Array.from(data as ArrayLike<number>, (x: number | bigint) => BigInt(x)) as DataOf<T>;
    return new ArrayOf(data as ArrayLike<number> & ArrayLike<bigint>) as DataOf<T>;
  } catch (thrown) {
    throw new KilnError('bad-input', `the data cannot be converted to ${type}`, { cause: thrown });
  }
}

const kNamesShown = 8;
export const quoted = (names: string[]): string => names.slice(0, kNamesShown).map((n) => `"${n}"`).join(', ') + (names.length > kNamesShown ? ', …' : '');

/** Each input's data in the model's order, or a KilnError that names what was expected. */
export function orderInputs(ports: readonly PortInfo[], inputs: Record<string, Tensor>): DataOf<DType>[] {
  const names = ports.map((p) => p.name);
  const stranger = Object.keys(inputs).find((name) => !names.includes(name));
  if (stranger !== undefined) throw new KilnError('bad-input', `the model has no input "${stranger}"; its inputs are ${quoted(names)}`, { where: stranger });
  return ports.map((port) => {
    const tensor = inputs[port.name];
    const expected = `${port.dtype}[${port.shape.join(', ')}]`;
    if (!tensor) throw new KilnError('bad-input', `the input "${port.name}" is missing: pass a Tensor ${expected}`, { where: port.name });
    if (!(tensor.data instanceof kArrays[port.dtype]) || tensor.type !== port.dtype || tensor.shape.join() !== port.shape.join()) {
      const got = `${tensor.type}[${Array.from(tensor.shape ?? []).join(', ')}]`;
      throw new KilnError('bad-input', `the input "${port.name}" must be ${expected}, not ${got}`, { where: port.name });
    }
    if (tensor.data.length !== elements(port.shape)) {
      throw new KilnError('bad-input', `the input "${port.name}" has ${tensor.data.length} elements, ${expected} has ${elements(port.shape)}`, { where: port.name });
    }
    return tensor.data;
  });
}

/** A copy of each input's bytes. `spare` are buffers of an earlier call to fill again: fresh memory costs ten times as much as the copy. */
export function packInputs(inputs: readonly DataOf<DType>[], spare: readonly ArrayBuffer[] = []): ArrayBuffer[] {
  return inputs.map((data, i) => {
    const buffer = spare[i];
    if (!buffer) return data.slice().buffer;
    new Uint8Array(buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return buffer;
  });
}
