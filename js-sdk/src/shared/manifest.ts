// What the compiler says about a module: where everything lies, what to write there, what to call.
import { KilnError } from './errors.js';

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'uint8' | 'int32' | 'int64' | 'bool';

/** Bytes of the weights under one hash. */
export const kBlockBytes = 1 << 20;

/** Bytes of one element. */
export const kElementBytes: Record<DType, number> = { float32: 4, float16: 2, bfloat16: 2, int8: 1, uint8: 1, int32: 4, int64: 8, bool: 1 };

/** An input or output as the user sees it. */
export interface PortInfo {
  name: string;
  dtype: DType;
  shape: number[];
}

export interface Port extends PortInfo {
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

/** Parses the manifest and checks what everything else relies on. The compiler is trusted, but its version may not match the SDK's. */
export function parseManifest(json: string): Manifest {
  const manifest = JSON.parse(json) as Manifest;
  const total = manifest.memory?.total;
  const inside = (at: { address: number }, bytes: number): boolean => at.address >= 0 && at.address + bytes <= total;
  const sound =
    Number.isSafeInteger(total) &&
    [manifest.inputs, manifest.outputs, manifest.transfers, manifest.constants, manifest.steps, manifest.kernels, manifest.stepNeeds, manifest.blockHashes].every(Array.isArray) &&
    manifest.blockHashes.length === Math.ceil(manifest.weightsBytes / kBlockBytes) &&
    [...manifest.inputs, ...manifest.outputs].every((p) => inside(p, p.bytes) && elements(p.shape) * kElementBytes[p.dtype] === p.bytes) &&
    manifest.transfers.every((t) => inside(t, t.size) && t.offset >= 0 && t.phase < manifest.initPhases) &&
    manifest.stepNeeds.length === manifest.steps.length &&
    [manifest.arenaNeeds, ...manifest.stepNeeds].every((transfers) => transfers >= 0 && transfers <= manifest.transfers.length);
  if (!sound) throw new KilnError('internal', 'the compiler and this SDK do not fit together: install both from the same version');
  return manifest;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Phases that no transfer starts. They depend on constants alone and run first. */
export function freePhases(manifest: Manifest): number[] {
  const started = new Set(manifest.transfers.map((t) => t.phase));
  return Array.from({ length: manifest.initPhases }, (_, phase) => phase).filter((phase) => !started.has(phase));
}
