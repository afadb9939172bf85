import { KilnError } from '../shared/errors.js';
import { detectEnvironment, type Environment, type Missing } from '../shared/environment.js';
import type { CompilerKind, CompilerSource, Precision } from '../shared/messages.js';
import { isNode } from '../shared/node.js';
import type { LoadOptions, TuningOptions } from '../options.js';
import { check, isFunction, isObject, kFlag, kFunction, kNotNegative, kObject, kSignal, oneOf, shown, whole, type Rules } from './checks.js';
import { absolute } from './sources.js';

/** A hash of the sources and the compilers, from build.js. */
declare const __KILN_BUILD__: string | null;
const kBuild = typeof __KILN_BUILD__ === 'undefined' ? null : __KILN_BUILD__;

const kMostThreads = 8;
const kStallTimeoutMs = 30_000;
const kLongestTimerMs = 2 ** 31 - 1; // what is longer fires at once

const isThreads = whole(1, 64, '')[0];
const kRules: Rules<LoadOptions> = {
  threads: [(value) => value === 'auto' || isThreads(value), "'auto' or a whole number from 1 to 64"],
  tuning: [(value) => value === false || isObject(value), 'an object or false'],
  wisdomStore: [isStore, isNode ? 'an object with load() and save(), the path of a folder, or false' : 'an object with load() and save(), or false'],
  dims: kObject,
  precision: oneOf(['exact', 'balanced', 'fast'] satisfies Precision[]),
  runWhileLoading: kFlag,
  onProgress: kFunction,
  signal: kSignal,
  cache: kFlag,
  verify: kFlag,
  integrity: [(value) => typeof value === 'string' && integritiesIn(value).every((each) => /^sha256-[A-Za-z0-9+/]{43}=$/.test(each)), "'sha256-' and 44 characters, as `python -m wasmkiln inspect` prints it"],
  stallTimeoutMs: [(value) => typeof value === 'number' && value > 0, 'a number above 0'],
  compiler: [isCompiler, 'the address of compiler.wasm, its bytes, or a WebAssembly.Module'],
  preferences: kObject,
};
const kTuningRules: Rules<TuningOptions> = {
  budgetMs: kNotNegative,
  background: kFlag,
  wisdom: [(value) => typeof value === 'string' || isObject(value), 'an address, the JSON text or the parsed object'],
};
const kPreferenceRules: Rules<NonNullable<LoadOptions['preferences']>> = { relaxedSimd: kFlag, sharedMemory: kFlag, worker: [(value) => typeof value === 'boolean' || value === 'optional', "true, false or 'optional'"], memory64: kFlag };

function isStore(value: unknown): boolean {
  return value === false || (isNode && typeof value === 'string') || (isObject(value) && isFunction(value['load']) && isFunction(value['save']));
}

function isCompiler(value: unknown): boolean {
  return typeof value === 'string' || value instanceof URL || value instanceof ArrayBuffer || value instanceof Uint8Array || value instanceof WebAssembly.Module;
}

const integritiesIn = (text: string): string[] => text.trim().split(/\s+/);

/** Throws what is wrong with the options, before anything begins. */
export function checkOptions(options: LoadOptions): void {
  check('', options, kRules);
  if (options.tuning) check('tuning', options.tuning, kTuningRules);
  if (options.integrity !== undefined && options.verify === false) throw new KilnError('bad-option', 'integrity is compared by verifying: leave out verify: false', { where: 'integrity' });
  if (options.preferences) check('preferences', options.preferences, kPreferenceRules);
  for (const [name, size] of Object.entries(options.dims ?? {})) {
    const where = `dims.${name}`;
    if (!Number.isSafeInteger(size) || size < 0) throw new KilnError('bad-option', `${where} must be a whole number that is not negative, not ${shown(size)}`, { where });
    if (/[=\r\n]/.test(name)) throw new KilnError('bad-option', `no dimension can be called ${shown(name)}`, { where });
  }
}

/** Options that are checked and completed for this environment. */
export interface Settings {
  threads: number;
  shared: boolean;
  /** Runs may pass through shared memory, even if the model's memory is private. */
  mailbox: boolean;
  relaxedSimd: boolean;
  memory64: boolean;
  workers: boolean;
  /** If workers cannot be started, the model may run on this thread. */
  mayBlock: boolean;
  budgetMs: number;
  dims: Record<string, number>;
  precision: Precision;
  stallTimeoutMs: number;
  verify: boolean;
  integrity: string[] | null;
  runWhileLoading: boolean;
  /** Names the compilers, if a cache may be used. */
  build: string | null;
  compilers: Record<CompilerKind, CompilerSource>;
  environment: Environment;
  missing: Missing[];
}

function chooseThreads(option: LoadOptions['threads'], cores: number): number {
  return typeof option === 'number' ? option : Math.min(cores <= 4 ? cores : Math.ceil(cores / 2), kMostThreads);
}

function compilersOf(option: LoadOptions['compiler']): Settings['compilers'] {
  if (option === undefined) return { plain: new URL('./compiler.wasm', import.meta.url).href, full: new URL('./compiler-full.wasm', import.meta.url).href };
  const given = option instanceof URL ? option.href : typeof option === 'string' ? absolute(option).href : option instanceof ArrayBuffer ? new Uint8Array(option) : option;
  return { plain: given, full: given };
}

/** The settings for options that checkOptions() has accepted. */
export function settle(options: LoadOptions): Settings {
  const environment = detectEnvironment();
  const { preferences = {}, tuning } = options;
  if (!environment.simd) throw new KilnError('unsupported-environment', 'this engine has no WebAssembly SIMD, which every browser since 2023 has; update it');
  if (options.integrity !== undefined && !globalThis.crypto?.subtle) throw new KilnError('unsupported-environment', 'integrity needs a secure context: serve the page by https, or from localhost', { where: 'integrity' });
  const missing = [...environment.missing];
  const wanted = (feature: Missing['feature'], has: boolean, preference: boolean | undefined): boolean => {
    if (has && preference === false) missing.push({ feature, why: 'switched off by preferences' });
    return has && preference !== false;
  };
  const workers = wanted('workers', environment.workers, preferences.worker !== false);
  const mayShare = wanted('sharedMemory', environment.sharedMemory, preferences.sharedMemory) && workers;
  const threads = mayShare ? chooseThreads(options.threads, environment.cores) : Math.min(1, chooseThreads(options.threads, 1));
  return {
    threads,
    shared: mayShare, // with one thread too: the page writes large inputs straight into the model's memory
    mailbox: mayShare && typeof Atomics.waitAsync === 'function',
    relaxedSimd: wanted('relaxedSimd', environment.relaxedSimd, preferences.relaxedSimd),
    memory64: environment.memory64 && preferences.memory64 !== false,
    workers,
    mayBlock: preferences.worker === 'optional',
    budgetMs: tuning ? (tuning.budgetMs ?? 0) : 0,
    dims: options.dims ?? {},
    precision: options.precision ?? 'balanced',
    stallTimeoutMs: Math.min(options.stallTimeoutMs ?? kStallTimeoutMs, kLongestTimerMs),
    verify: options.verify ?? true,
    integrity: options.integrity === undefined ? null : integritiesIn(options.integrity),
    runWhileLoading: options.runWhileLoading ?? false,
    build: options.cache === false || options.compiler !== undefined ? null : kBuild,
    compilers: compilersOf(options.compiler),
    environment,
    missing,
  };
}
