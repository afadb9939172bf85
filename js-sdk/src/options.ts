import type { CompilerSource, Precision, LoadProgress } from './shared/messages.js';

/** A .kiln or .onnx file: a URL, a prepared Request, the bytes or, in Node, a path or file: URL. */
export type ModelSource = string | URL | Request | ArrayBufferLike | ArrayBufferView | Blob;

/** Where measured schedules are kept between loads. A failure is noted in info() and never thrown. */
export interface WisdomStore {
  load(device: string): Promise<string | null>;
  save(device: string, json: string): Promise<void>;
}

export interface TuningOptions {
  /** Milliseconds that a load may spend on measuring. With 0 schedules come only from wisdom and the prior. In the background the default is 2000. */
  budgetMs?: number;
  /**
   * Measure while the model already runs. If other schedules are faster, the file is read again, and the new module replaces the old
   * one between two runs. Until then there are two memories.
   */
  background?: boolean;
  /** Measured schedules to start from: a URL, their JSON text, or the parsed object. */
  wisdom?: string | URL | object;
}

export interface LoadOptions {
  /** 'auto' uses the machine's cores if memory can be shared, else 1. */
  threads?: 'auto' | number;
  tuning?: TuningOptions | false;
  /** By default IndexedDB in a page, and a file in the cache directory in Node. In Node, a string names another directory. false: no store. */
  wisdomStore?: WisdomStore | string | false;
  /** Sizes of the model's symbolic dimensions. */
  dims?: Record<string, number>;
  /** How far arithmetic may be reordered and rounded. Default 'balanced'. */
  precision?: Precision;
  /**
   * Resolve as soon as the model is compiled, while its weights still arrive. The first run goes as far as the weights are there, and ends
   * soon after the last one. If the rest of the download fails, the runs fail, and model.loaded says why. Default false: wait for all weights.
   */
  runWhileLoading?: boolean;
  /** An exception of its own stops nothing: a page's error handlers get it, under Node it is a warning. */
  onProgress?: (event: LoadProgress) => void;
  signal?: AbortSignal;
  /**
   * Keep the compiled module and the packed weights in the origin's private file system. The next visit starts from there. Default true.
   * This works for .kiln files from a URL, and with the compiler that came with this SDK.
   */
  cache?: boolean;
  /** Compare weights with their hashes while they arrive, which .onnx files do not have. Default true. What was not compared is not kept for the next visit. */
  verify?: boolean;
  /**
   * `sha256-…`, as `python -m wasmkiln inspect` prints it: takes this file and no other, wherever it comes from. It is the SHA-256 of the file's head,
   * which is compared before the compiler reads it, and has the SHA-256 of every MiB of the weights; these are compared in place of faster hashes, which
   * notice damage and not malice. Of an .onnx file it is the SHA-256 of the file. Several with spaces between: one of these files. Needs a secure context (https, localhost).
   */
  integrity?: string;
  /** A server that does not answer for so long, or a download that brings nothing, fails with 'stalled', and so does a wisdomStore. Default 30 000. */
  stallTimeoutMs?: number;
  /** Where compiler.wasm is, if not beside the SDK. Or its bytes, or its module. For an .onnx file give compiler-full.wasm, which reads both. */
  compiler?: CompilerSource | URL | ArrayBuffer;
  /**
   * Do without something that the environment has. With `worker: false` the model runs on the page's own thread and blocks it. With 'optional' it does
   * so only if workers cannot be started. By default that is an error.
   */
  preferences?: { relaxedSimd?: boolean; sharedMemory?: boolean; worker?: boolean | 'optional'; memory64?: boolean };
}

export interface RunOptions {
  /** An abort takes a waiting run out of the queue, or stops the current run. The model stays usable. */
  signal?: AbortSignal;
}

export interface ProfileOptions extends RunOptions {
  /** How many times to run all steps. The least time of each step counts. Default 10. */
  repeats?: number;
}
