import { KilnError } from '../shared/errors.js';
import { detectEnvironment, type Environment, type Missing } from '../shared/environment.js';
import type { CompilerSource, Precision } from '../shared/messages.js';
import type { LoadOptions } from '../options.js';
import { absolute } from './sources.js';

/** A hash of the sources and the compiler, from build.js. */
declare const __KILN_BUILD__: string | null;
const kBuild = typeof __KILN_BUILD__ === 'undefined' ? null : __KILN_BUILD__;

const kPrecisions: readonly Precision[] = ['exact', 'balanced', 'fast'];
const kMostThreads = 8;
const kStallTimeoutMs = 30_000;

/** The options, checked and completed for this environment. */
export interface Settings {
  threads: number;
  shared: boolean;
  /** Runs may pass through shared memory, whatever memory the model has. */
  mailbox: boolean;
  relaxedSimd: boolean;
  memory64: boolean;
  workers: boolean;
  budgetMs: number;
  dims: Record<string, number>;
  precision: Precision;
  stallTimeoutMs: number;
  verify: boolean;
  runWhileLoading: boolean;
  /** Names the compiler where a cache may be used. */
  build: string | null;
  compiler: CompilerSource;
  environment: Environment;
  missing: Missing[];
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw new KilnError('bad-option', `${name} must be a number that is not negative, not ${String(value)}`, { where: name });
}

function chooseThreads(option: LoadOptions['threads'], cores: number): number {
  if (option === undefined || option === 'auto') return Math.min(cores <= 4 ? cores : Math.ceil(cores / 2), kMostThreads);
  if (Number.isInteger(option) && option >= 1 && option <= 64) return option;
  throw new KilnError('bad-option', `threads must be 'auto' or a whole number from 1 to 64, not ${String(option)}`, { where: 'threads' });
}

function choosePrecision(option: LoadOptions['precision']): Precision {
  if (option === undefined) return 'balanced';
  if (kPrecisions.includes(option)) return option;
  throw new KilnError('bad-option', `precision must be 'exact', 'balanced' or 'fast', not ${option}`, { where: 'precision' });
}

function compilerOf(option: LoadOptions['compiler']): CompilerSource {
  if (option === undefined) return new URL('./compiler.wasm', import.meta.url).href;
  if (option instanceof URL) return option.href;
  if (typeof option === 'string') return absolute(option).href;
  return option instanceof ArrayBuffer ? new Uint8Array(option) : option;
}

export function settle(options: LoadOptions): Settings {
  const environment = detectEnvironment();
  const { preferences = {}, tuning } = options;
  if (!environment.simd) throw new KilnError('unsupported-environment', 'this engine has no WebAssembly SIMD, which every browser since 2023 has; update it');
  const missing = [...environment.missing];
  const wanted = (feature: Missing['feature'], has: boolean, preference: boolean | undefined): boolean => {
    if (has && preference === false) missing.push({ feature, why: 'switched off by preferences' });
    return has && preference !== false;
  };
  const workers = wanted('workers', environment.workers, preferences.worker);
  const mayShare = wanted('sharedMemory', environment.sharedMemory, preferences.sharedMemory) && workers;
  const threads = mayShare ? chooseThreads(options.threads, environment.cores) : Math.min(1, chooseThreads(options.threads, 1));
  return {
    threads,
    shared: mayShare, // with one thread too: the page writes large inputs straight into the model's memory
    mailbox: mayShare && typeof Atomics.waitAsync === 'function',
    relaxedSimd: wanted('relaxedSimd', environment.relaxedSimd, preferences.relaxedSimd),
    memory64: environment.memory64 && preferences.memory64 !== false,
    workers,
    budgetMs: tuning ? positive('tuning.budgetMs', tuning.budgetMs ?? 0) : 0,
    dims: options.dims ?? {},
    precision: choosePrecision(options.precision),
    stallTimeoutMs: positive('stallTimeoutMs', options.stallTimeoutMs ?? kStallTimeoutMs),
    verify: options.verify ?? true,
    runWhileLoading: options.runWhileLoading ?? false,
    build: options.cache === false || options.compiler !== undefined ? null : kBuild,
    compiler: compilerOf(options.compiler),
    environment,
    missing,
  };
}
