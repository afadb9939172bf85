// What the compiler says about a module: where everything lies, what to write there, what to call.
import { KilnError } from './errors.js';
import { kControlBytes } from './memory.js';

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'uint8' | 'int32' | 'int64' | 'bool' | 'int16' | 'uint16' | 'uint32' | 'uint64';

/** Bytes of the weights under one hash. */
export const kBlockBytes = 1 << 20;

/** Bytes of one element. */
export const kElementBytes: Record<DType, number> = { float32: 4, float16: 2, bfloat16: 2, int8: 1, uint8: 1, int32: 4, int64: 8, bool: 1, int16: 2, uint16: 2, uint32: 4, uint64: 8 };

/** An input or output as the user sees it. */
export interface PortInfo {
  name: string;
  dtype: DType;
  shape: number[];
  /** Of an output whose size along one axis a run decides: that axis. `shape` has the most that it may be. */
  boundedAxis?: number;
}

/** With `boundedAxis`, which of all outputs has the size, an int32. It has no name. */
export interface OutputInfo extends PortInfo {
  sizedBy?: number;
}

export interface Port extends OutputInfo {
  address: number;
  bytes: number;
}

/** `size` bytes from `offset` of the weights go to `address`; then init phase `phase` runs (if not negative). */
export interface Transfer {
  segment: number;
  offset: number;
  size: number;
  address: number;
  phase: number;
}

export interface StepInfo {
  label: string;
  kernel: number;
  flops: number;
  bytes: number;
  barrier: boolean;
}

/** A distinct kernel: what it computes, how, and where its schedule came from. */
export interface KernelInfo {
  spec: string;
  schedule: string;
  origin: 'prior' | 'wisdom' | 'measured';
  ns: number;
}

export interface MemoryLayout {
  control: number;
  arena: number;
  scratch: number;
  scratchStride: number;
  /** Where packed weights begin, and how many bytes they take. */
  weights: number;
  packed: number;
  /** Where the bytes of the file may lie. The weights are packed over them. 0: nowhere. */
  file: number;
  total: number;
}

export interface Manifest {
  memory: MemoryLayout;
  inputs: Port[];
  outputs: Port[];
  transfers: Transfer[];
  constants: { address: number; base64: string }[];
  steps: StepInfo[];
  kernels: KernelInfo[];
  /** How many transfers must be complete before a run may touch the arena, and before each step may run. */
  arenaNeeds: number;
  stepNeeds: number[];
  initPhases: number;
  /** The bytes of all weights in the file, and the XXH64 of each MiB of them in hexadecimal. */
  weightsBytes: number;
  blockHashes: string[];
}

/** What everything after relies on: whole numbers, and nothing beyond the memory. */
function isSound(manifest: Manifest): boolean {
  const { memory, inputs, outputs, transfers, constants, steps, kernels, stepNeeds, blockHashes, initPhases, weightsBytes } = manifest;
  const { total } = memory;
  const whole = (...numbers: number[]): boolean => numbers.every((n) => Number.isSafeInteger(n) && n >= 0);
  const inside = (address: number, bytes: number): boolean => whole(address, bytes) && address + bytes <= total;
  const texts = (...all: unknown[]): boolean => all.every((each) => typeof each === 'string');
  return (
    whole(total, memory.scratchStride, initPhases, weightsBytes) &&
    inside(memory.control, kControlBytes) && inside(memory.weights, memory.packed) &&
    [memory.arena, memory.scratch, memory.file].every((at) => inside(at, 0)) &&
    [inputs, outputs, transfers, constants, steps, kernels, stepNeeds, blockHashes].every(Array.isArray) &&
    blockHashes.length === Math.ceil(weightsBytes / kBlockBytes) && texts(...blockHashes) &&
    [...inputs, ...outputs].every(({ name, dtype, shape, address, bytes }) => texts(name) && inside(address, bytes) && Array.isArray(shape) && whole(...shape) && elements(shape) * kElementBytes[dtype] === bytes) &&
    outputs.every(({ boundedAxis: axis = 0, sizedBy, shape }) => sizedBy === undefined || (whole(axis, sizedBy) && axis < shape.length && outputs[sizedBy]?.bytes === 4)) &&
    transfers.every(({ address, size, offset, phase }) => inside(address, size) && whole(offset) && Number.isInteger(phase) && phase < initPhases) &&
    constants.every(({ address, base64 }) => texts(base64) && inside(address, Math.floor((base64.length * 3) / 4) - (/=*$/.exec(base64)?.[0].length ?? 0))) &&
    steps.every(({ flops }) => Number.isFinite(flops)) && kernels.every(({ spec, schedule }) => texts(spec, schedule)) &&
    stepNeeds.length === steps.length &&
    whole(manifest.arenaNeeds, ...stepNeeds) && [manifest.arenaNeeds, ...stepNeeds].every((needs) => needs <= transfers.length)
  );
}

/** Parses and checks: the compiler is trusted, a mismatch of versions is not, nor what was kept. */
export function parseManifest(json: string): Manifest {
  try {
    const manifest = JSON.parse(json) as Manifest;
    if (isSound(manifest)) return manifest;
  } catch {
    // no manifest at all
  }
  throw new KilnError('internal', 'the compiler and this SDK do not fit together: install both from the same version');
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Phases that no transfer starts. They depend on constants alone and run first. */
export function freePhases(manifest: Manifest): number[] {
  const started = new Set(manifest.transfers.map((t) => t.phase));
  return Array.from({ length: manifest.initPhases }, (_, phase) => phase).filter((phase) => !started.has(phase));
}
