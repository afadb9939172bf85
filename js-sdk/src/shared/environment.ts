// What this engine can do, found by validating tiny modules, and its id for wisdom.
import type * as Os from 'node:os';
import { isSandboxed } from './module.js';
import { isNode, nodeModule } from './node.js';

const kSimd = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const kRelaxedSimd = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];
const kSharedMemory = [0, 97, 115, 109, 1, 0, 0, 0, 5, 4, 1, 3, 1, 1];
const kMemory64 = [0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 4, 1];

/** Something that this environment lacks, and why. The model runs without it. */
export interface Missing {
  feature: 'workers' | 'sharedMemory' | 'relaxedSimd' | 'memory64';
  why: string;
}

export interface Environment {
  simd: boolean;
  relaxedSimd: boolean;
  sharedMemory: boolean;
  memory64: boolean;
  workers: boolean;
  cores: number;
  device: string;
  missing: Missing[];
}

function validates(bytes: number[]): boolean {
  try {
    return WebAssembly.validate(new Uint8Array(bytes));
  } catch {
    return false;
  }
}

function whyNotShared(): string {
  if (typeof SharedArrayBuffer === 'undefined' && globalThis.crossOriginIsolated) return 'this engine has no SharedArrayBuffer';
  if (!isNode && !globalThis.crossOriginIsolated) return 'the page is not cross-origin isolated (serve it with COOP: same-origin and COEP: require-corp)';
  if (isSandboxed()) return 'the page is a sandboxed frame, with whose workers no memory can be shared';
  return validates(kSharedMemory) ? '' : 'this engine has no shared WebAssembly memory'; // a memory to try it would hold some 10 GB of addresses
}

/** Engine, architecture and cores. Measured schedules are kept per id. */
export function deviceId(): string {
  if (isNode) {
    const os = nodeModule<typeof Os>('os');
    const cpu = os.cpus()[0]?.model.trim() ?? 'unknown cpu';
    return `${cpu}; ${process.arch}; V8 ${process.versions.v8.split('.')[0] ?? ''}`;
  }
  if (typeof navigator === 'undefined') return 'unknown';
  const agent = navigator.userAgent;
  const engine = /(Firefox|Edg|Chrome)\/(\d+)/.exec(agent) ?? /(?:Version)\/(\d+).*(Safari)/.exec(agent);
  const platform = /\(([^;)]+;[^;)]+)/.exec(agent)?.[1] ?? 'unknown platform';
  return `${engine ? `${engine[1] ?? ''} ${engine[2] ?? ''}` : 'unknown engine'}; ${platform}; ${navigator.hardwareConcurrency} cores`;
}

export function detectEnvironment(): Environment {
  const missing: Missing[] = [];
  const note = (feature: Missing['feature'], why: string): boolean => {
    if (why) missing.push({ feature, why });
    return !why;
  };
  return {
    simd: validates(kSimd),
    relaxedSimd: note('relaxedSimd', validates(kRelaxedSimd) ? '' : 'this engine has no relaxed SIMD'),
    sharedMemory: note('sharedMemory', whyNotShared()),
    memory64: validates(kMemory64),
    workers: note('workers', isNode || typeof Worker !== 'undefined' ? '' : 'this context has no Worker'),
    cores: isNode ? nodeModule<typeof Os>('os').availableParallelism() : (globalThis.navigator?.hardwareConcurrency ?? 1),
    device: deviceId(),
    missing,
  };
}
