// Who may ask whom for what. Roles: the page (main), the host worker (thread 0), the compiler worker, compute workers (threads 1…).
import type { MailboxHandle } from './mailbox.js';
import type { KernelInfo, MemoryLayout, OutputInfo, PortInfo, StepInfo } from './manifest.js';
import type { PlainError } from './errors.js';
import type { Code } from './module.js';
import type { Phase } from './timeline.js';

/** Where the model's bytes come from, in a form that can be posted. `pull`: chunks are asked from the main thread. */
export type SourceMessage =
  | { kind: 'url'; url: string; init: RequestInit }
  | { kind: 'blob'; blob: Blob }
  | { kind: 'file'; path: string }
  | { kind: 'pull'; name: string; size: number };

/** What a file is. */
export type ModelFormat = 'kiln' | 'onnx';

/** compiler.wasm, for plain networks in .kiln files, or compiler-full.wasm, which has everything. */
export type CompilerKind = 'plain' | 'full';
export const compilerOf = (format: ModelFormat): CompilerKind => (format === 'onnx' ? 'full' : 'plain');

export type LoadProgress =
  /** `totalBytes` is known from the server, else from the head of the file once that is planned. Both count what a server has compressed as it was before. */
  | { stage: 'download'; loadedBytes: number; totalBytes: number | undefined }
  | { stage: 'compile' }
  | { stage: 'tune'; elapsedMs: number; budgetMs: number; candidates: number }
  | { stage: 'ready' }
  /** Tuning in the background has ended, and its result is in use. */
  | { stage: 'tuned' };

/**
 * How far arithmetic may be reordered and rounded. 'exact' computes sums of products; outputs are within 1e-5 of their scale of any other
 * order. 'balanced' also allows algorithms that round more, and 16-bit weights where a layer waits for memory, within 1e-4. 'fast' allows
 * errors of 1e-3. docs/precision.md has the measurements.
 */
export type Precision = 'exact' | 'balanced' | 'fast';

/** The compiler's options, and what the tuner may spend. */
export interface CompileSettings {
  threads: number;
  shared: boolean;
  relaxedSimd: boolean;
  memory64: boolean;
  device: string;
  dims: Record<string, number>;
  precision: Precision;
  budgetMs: number;
}

export interface LoadRequest {
  source: SourceMessage;
  compile: CompileSettings;
  verify: boolean;
  /** The files that the page takes, each as `sha256-…`; null: whatever comes. */
  integrity: string[] | null;
  /** Runs may pass through shared memory. */
  mailbox: boolean;
  stallTimeoutMs: number;
  /** A run may begin before the last weight is there. */
  runWhileLoading: boolean;
  /** Names the compiler, for the cache. null: use no cache. */
  build: string | null;
  /** An earlier visit may have filled the cache. */
  mayBeKept: boolean;
  /** sharedNow() when the load was asked for. */
  began: number;
}

export interface Timings {
  /** From the start of the load until the compiler is ready. */
  compilerReadyMs: number;
  /** From the head of the file to the finished module, without measuring. */
  compileMs: number;
  tuneMs: number;
  /** From the start of the load until the last byte is in its place. */
  downloadMs: number;
  /** How long emitted code packed weights. */
  initMs: number;
  totalMs: number;
}

/** A model that can be run, though its weights may still arrive. */
export interface LoadResult {
  inputs: PortInfo[];
  outputs: OutputInfo[];
  steps: StepInfo[];
  kernels: KernelInfo[];
  layout: MemoryLayout;
  memoryBytes: number;
  moduleBytes: number;
  memory64: boolean;
  /** Whether this load started from the cache. none: there is no cache here, or it is switched off. */
  cache: 'hit' | 'miss' | 'none';
  wisdom: string;
  /** The stored wisdom could not be used. */
  storedDropped: boolean;
  notes: string[];
  /** For stopping a run from outside. null: the memory is private. */
  cancel: CancelHandle | null;
  /** How runs are asked for. null: by messages. */
  mailbox: MailboxHandle | null;
}

/** The result of a load when the last weight is in its place. */
export interface Landed {
  downloadedBytes: number;
  timings: Timings;
  phases: Phase[];
}

/** A port that brings the model's shared memory to whoever opens it, and the address of its control block. */
export interface CancelHandle {
  port: MessagePort;
  address: number;
}

export interface WisdomTexts {
  /** Given by the user. It must be valid. */
  explicit: string[];
  /** From the store. It is dropped if it is not valid. */
  stored: string | null;
}

export interface HostCalls {
  load(request: LoadRequest): LoadResult;
  /** Answers when all weights are in their place. Throws if they never will be, and says why. */
  landed(arg: null): Landed;
  /** Keeps the model for the next visit, which will bring this wisdom. Returns a note when that failed. */
  keep(wisdom: WisdomTexts): string | null;
  /** The inputs' buffers come back to be filled again. */
  run(inputs: ArrayBuffer[]): { outputs: ArrayBuffer[]; inputs: ArrayBuffer[] };
  /** There is something in the mailbox. */
  attend(arg: null): null;
  /** Throws the error of the last run from the mailbox. */
  failure(arg: null): never;
  /** Minimum milliseconds per step. */
  profile(request: { inputs: ArrayBuffer[]; repeats: number; clockMs: number }): number[];
}

export interface HostEvents {
  ready: null;
  progress: LoadProgress;
  /** The cache has nothing, or the plain compiler not all that the model needs: this compiler is needed. */
  needs: CompilerKind;
  /** How many kernels have schedules that this load measured. */
  measured: number;
  /** The compiler's worker has done all its work. */
  compilerDone: null;
}

/** What the main thread tells the host. */
export interface MainEvents {
  /** The model's workers are about to be ended. */
  leave: null;
}

/** What the main thread answers to the host. */
export interface MainCalls {
  pull(arg: null): Uint8Array<ArrayBuffer> | null;
  wisdom(arg: null): WisdomTexts;
}

export interface CompileRequest {
  compiler: CompilerKind;
  /** Of an .onnx file its skeleton (host/skeleton.ts). */
  head: Uint8Array<ArrayBuffer>;
  fileBytes: number;
  settings: CompileSettings;
  began: number;
}

/** The answer of kiln_pieces(), which host/onnx.ts reads. */
export interface Pieces {
  answer: Uint8Array<ArrayBuffer>;
}

/**
 * Where the file's weights may lie in the model's memory, from its base (0: nowhere), and how many bytes of them may land even if the model
 * needs less memory.
 */
export interface EarlyWeights {
  fileAt: number;
  landed: number;
}

/** Where everything lies, and the module that packs the weights. With this they can be put in their place. */
export interface LaidOut {
  manifest: string;
  loadCode: Code;
  wisdom: string;
  memory64: boolean;
  storedDropped: boolean;
  notes: string[];
}

/** What is known and emitted when a model can run. */
export interface CompileResult extends Omit<LaidOut, 'loadCode'> {
  module: Uint8Array<ArrayBuffer>;
  phases: Phase[];
}

/** Packed weights that an earlier visit kept. Idle members of the team take pieces of them in turn. */
export interface RestoreRequest {
  file: FileSystemFileHandle;
  /** Their place in the model's memory. It is shared if several threads fill it. */
  image: Uint8Array;
  /** In order: where each piece lies in the file, its bytes, its hash. */
  pieces: BigUint64Array<ArrayBuffer>;
  /** The next piece that nobody has taken, and how many are in their place. */
  progress: Int32Array;
}

/** A run that begins while weights arrive. */
export interface RunAhead {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  memory64: boolean;
  base: number;
  control: number;
  /** How many transfers must be complete before each step. */
  needs: readonly number[];
  /** How many are complete, and whether to stop (host/run_ahead.ts). */
  arrival: Int32Array;
}

export interface CompilerCalls {
  ready(arg: null): null;
  restore(request: RestoreRequest): null;
  /** When the compiler has done its work. Returns how many steps are done. */
  runAhead(arg: RunAhead): number;
  headLayout(start: Uint8Array<ArrayBuffer>): { headBytes: number; weightsBegin: number };
  /** Where the bytes of an .onnx file's weights are. */
  pieces(request: { skeleton: Uint8Array<ArrayBuffer>; fileBytes: number }): Pieces;
  /** Whether all weights of the file may lie in the model's memory, since what is made of them takes as much; how many bytes they are, and the SHA-256 of each block of them. */
  plan(request: CompileRequest): { overFile: boolean; fileWeightsBytes: number; digests: Uint8Array };
  /** Of what is planned; may be called before that is done. */
  layOut(request: EarlyWeights & { wisdom: WisdomTexts }): LaidOut;
  /** Works on the laid-out model. It may be called before the layout is done. */
  emit(arg: null): Pick<CompileResult, 'module' | 'phases'> & { code: Code };
}

export interface CompilerEvents {
  progress: LoadProgress;
  needs: CompilerKind;
}

export interface ComputeCalls {
  /** Before the start. */
  restore(request: RestoreRequest): null;
  start(arg: { module: WebAssembly.Module; memory: WebAssembly.Memory; base: number; control: number; thread: number; threads: number; memory64: boolean }): null;
}

/** The compiler: the address of its file, its bytes, or its module. */
export type CompilerSource = string | Uint8Array<ArrayBuffer> | WebAssembly.Module;

/** The source of the compiler's module: our bytes, bytes that a page has given and keeps, or the module. */
export type CompilerCode = ArrayBuffer | Uint8Array<ArrayBuffer> | WebAssembly.Module;

/** What is sent to the compiler's worker when a compiler is needed: its code, or why there is none. */
export interface CompilerMessage {
  kind: CompilerKind;
  code: CompilerCode | PlainError;
}

/** The first message to a worker. The page's calls to the host, and the compiler's code, come the same way. */
export type RoleMessage =
  | { role: 'host'; compiler: MessagePort; compute: MessagePort[] }
  | { role: 'compiler'; host: MessagePort }
  | { role: 'compute'; host: MessagePort };
