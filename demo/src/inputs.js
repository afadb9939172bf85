// Tensors for a model's inputs: made up from a seed, of an image, or of a .npy file.
import { Tensor } from 'wasmkiln';

const elements = (shape) => shape.reduce((n, dim) => n * dim, 1);

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const kIntegers = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array };
/** The bits of 0.5 in types of 16 bits: what is added stays below 1. */
const kHalf = { float16: [0x3800, 0x400], bfloat16: [0x3f00, 0x80] };

/** Floats in [0, 1), whole numbers that any vocabulary has, masks of ones. */
export function madeUp({ name, dtype, shape }, seed) {
  const draw = random(seed);
  const count = elements(shape);
  if (dtype === 'float32' || dtype === 'float64') return new Tensor(dtype, (dtype === 'float32' ? Float32Array : Float64Array).from({ length: count }, draw), shape);
  if (dtype === 'bool') return new Tensor(dtype, new Uint8Array(count).fill(1), shape);
  const [least, range] = kHalf[dtype] ?? [/mask/i.test(name) ? 1 : 0, /mask|type/i.test(name) ? 1 : 100];
  const whole = Uint16Array.from({ length: count }, () => least + Math.floor(draw() * range));
  const ArrayOf = kIntegers[dtype];
  return new Tensor(dtype, kHalf[dtype] ? whole : ArrayOf.from(whole, dtype.endsWith('64') ? BigInt : Number), shape);
}

/** Where rows, columns and channels of an image lie in an input, or null: it is none. */
export function imageLayout({ dtype, shape }) {
  if (dtype !== 'float32' && dtype !== 'uint8') return null;
  const [a, b, c] = shape.slice(-3);
  if (shape.length < 3 || shape.length > 4 || elements(shape.slice(0, -3)) !== 1) return null;
  if (a === 3 || a === 1) return b > 3 && c > 3 ? { channels: a, height: b, width: c, first: true } : null;
  return c === 3 || c === 1 ? { channels: c, height: a, width: b, first: false } : null;
}

/** How the 0…255 of an image become floats. */
export const kScales = {
  '0 to 1': (value) => value / 255,
  '−1 to 1': (value) => value / 127.5 - 1,
  ImageNet: (value, channel) => (value / 255 - [0.485, 0.456, 0.406][channel]) / [0.229, 0.224, 0.225][channel],
};

/** The image, stretched to the input's size. */
export async function fromImage(port, blob, scale) {
  const { channels, height, width, first } = imageLayout(port);
  const bitmap = await createImageBitmap(blob);
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = height * width;
  const out = new (port.dtype === 'uint8' ? Uint8Array : Float32Array)(pixels * channels);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < channels; c++) {
      const value = channels === 3 ? data[4 * p + c] : 0.299 * data[4 * p] + 0.587 * data[4 * p + 1] + 0.114 * data[4 * p + 2];
      out[first ? c * pixels + p : p * channels + c] = port.dtype === 'uint8' ? value : kScales[scale](value, c);
    }
  }
  return new Tensor(port.dtype, out, port.shape);
}

const kNumpy = { f4: 'float32', f2: 'float16', i8: 'int64', i4: 'int32', i2: 'int16', i1: 'int8', u8: 'uint64', u4: 'uint32', u2: 'uint16', u1: 'uint8', b1: 'bool', f8: 'float64' };

/** A .npy file (NumPy enhancement proposal 1) that has the input's type and as many elements. */
export async function fromNpy(port, blob) {
  const buffer = await blob.arrayBuffer();
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || view.getUint32(0) !== 0x934e554d) throw new Error('This is no .npy file.');
  const long = view.getUint8(6) > 1;
  const begin = long ? 12 : 10, end = begin + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(new Uint8Array(buffer, begin, Math.max(0, Math.min(end, buffer.byteLength) - begin)));
  const dtype = kNumpy[/'descr': *'[<|=]?([a-z]\d)'/.exec(header)?.[1]] ?? 'an unknown type';
  const shape = (/'shape': *\(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').filter((dim) => dim.trim()).map(Number);
  if (dtype !== port.dtype) throw new Error(`The file holds ${dtype}, the input takes ${port.dtype}.`);
  if (/'fortran_order': *True/.test(header) && shape.length > 1) throw new Error('The file is in Fortran order: save np.ascontiguousarray(array).');
  if (elements(shape) !== elements(port.shape)) throw new Error(`The file holds [${shape.join(', ')}], the input takes [${port.shape.join(', ')}].`);
  const like = madeUp({ ...port, shape: [1] }, 0).data.constructor;
  return new Tensor(port.dtype, new like(buffer.slice(end, end + elements(shape) * like.BYTES_PER_ELEMENT)), port.shape);
}
