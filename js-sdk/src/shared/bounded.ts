// Outputs whose size along an axis a run decides. They have room for the most that it may be. The size itself is one more output, behind
// those that have names.
import { KilnError } from './errors.js';
import { elements, kElementBytes, type OutputInfo } from './manifest.js';

/** The outputs that are results, and no sizes of others. */
export function resultsOf(outputs: readonly OutputInfo[]): OutputInfo[] {
  const sizes = new Set(outputs.map(({ sizedBy }) => sizedBy));
  return outputs.filter((_, i) => !sizes.has(i));
}

/** The shape and the bytes of a result, of what a run left for all outputs. */
export function cut(port: OutputInfo, bytes: ArrayBuffer, all: readonly ArrayBuffer[]): { shape: number[]; bytes: ArrayBuffer } {
  const { boundedAxis: axis, sizedBy, shape } = port;
  if (axis === undefined || sizedBy === undefined) return { shape, bytes };
  const room = shape[axis] as number;
  const [size = 0] = new Int32Array(all[sizedBy] as ArrayBuffer, 0, 1);
  if (size < 0 || size > room) throw new KilnError('internal', `the output "${port.name}" has ${size} parts where there is room for ${room}: report it`);
  const cutShape = shape.map((dim, i) => (i === axis ? size : dim));
  if (size === room) return { shape: cutShape, bytes };
  const part = elements(shape.slice(axis + 1)) * kElementBytes[port.dtype], from = new Uint8Array(bytes);
  const kept = new Uint8Array(elements(cutShape) * kElementBytes[port.dtype]);
  for (let i = 0, outer = elements(shape.slice(0, axis)); i < outer; i++) kept.set(from.subarray(i * room * part, (i * room + size) * part), i * size * part);
  return { shape: cutShape, bytes: kept.buffer };
}
