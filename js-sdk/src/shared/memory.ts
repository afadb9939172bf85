// The model's WebAssembly memory and how addresses are passed.
import { KilnError } from './errors.js';

/** Address 0 stays unused, so that a stray null shows. */
export const kBase = 1024;
export const kPage = 65536;
/** A 32-bit memory holds this much; beyond it addresses are 64 bits wide. */
export const kLimit32 = 65536 * kPage;

export interface MemoryKind {
  shared: boolean;
  memory64: boolean;
}

/** How an address is passed to a module: as a number, or as a BigInt if its memory is 64-bit. */
export function addressIn(memory64: boolean): (value: number) => number | bigint {
  return memory64 ? BigInt : (value) => value;
}

/** A memory of at least `bytes` that never grows. The KilnError out-of-memory says how much was asked for. */
export function createMemory(bytes: number, kind: MemoryKind): WebAssembly.Memory {
  const pages = Math.ceil(bytes / kPage);
  const address = addressIn(kind.memory64);
  const descriptor = {
    initial: address(pages),
    maximum: address(pages),
    shared: kind.shared,
    ...(kind.memory64 ? { address: 'i64' } : {}),
  } as unknown as WebAssembly.MemoryDescriptor;
  try {
    return new WebAssembly.Memory(descriptor);
  } catch (thrown) {
    const megabytes = Math.ceil(bytes / 2 ** 20);
    throw new KilnError('out-of-memory', `the model needs ${megabytes} MB in one piece and the engine refuses; dispose of other models or close other tabs`, { cause: thrown });
  }
}

const kWaitsMs = [50, 100, 200, 400, 800];

/**
 * Tries again while the engine refuses memory. The memory of a model that was just disposed of is free only when its workers have ended,
 * which takes longer on a busy machine.
 */
export async function patiently<T>(create: () => T | Promise<T>): Promise<T> {
  for (const wait of kWaitsMs) {
    try {
      return await create();
    } catch (thrown) {
      const refused = thrown instanceof RangeError || (thrown instanceof KilnError && thrown.code === 'out-of-memory');
      if (!refused) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return create();
}

// The control block (jit/program.h), and its words: byte offsets from its start. Behind it, up to the weights, lies the progress of a run.
export const kControlBytes = 1024;
export const kControlStatus = 0;
export const kControlCancel = 64;
export const kControlLoadStatus = 192;
/** The host's own words: generation, first and last step, whether all are to leave; how many threads are in the run, and whether it is closed to those who come now. */
export const kHostGeneration = 256;
export const kHostFirst = 260;
export const kHostLast = 264;
export const kHostLeave = 268;
export const kHostInside = 320;
export const kClosed = 1 << 16;

// Status values (jit/kernel_spec.h).
export const kStatusAborted = 1;
export const kStatusBadIndex = 2;

export type RunExport = (base: number | bigint, thread: number | bigint, threads: number | bigint, first: number | bigint, last: number | bigint) => void;
export type InitExport = (base: number | bigint, phase: number | bigint) => void;
