import type { CompilerSource, Precision, LoadProgress } from './shared/messages.js';

/** A URL, a prepared Request, the bytes, or (Node) a path or file: URL. */
export type ModelSource = string | URL | Request | ArrayBufferLike | ArrayBufferView | Blob;

/** Where measured schedules are kept between loads. Failures are noted in info(), never thrown. */
export interface WisdomStore {
  load(device: string): Promise<string | null>;
  save(device: string, json: string): Promise<void>;
}

export interface TuningOptions {
  /** Milliseconds that measuring may take at load. 0: schedules come from wisdom and the prior alone. In the background, 2000 by default. */
  budgetMs?: number;
  /**
   * Measure while the model already runs. When other schedules turn out faster the file is read again, and the new module takes
   * the old one's place between two runs; until then there are two memories.
   */
  background?: boolean;
  /** Measured schedules to start from: a URL, their JSON text, or the parsed object. */
  wisdom?: string | URL | object;
}

export interface LoadOptions {
  /** 'auto' takes the machine's cores where memory can be shared, else 1. */
  threads?: 'auto' | number;
  tuning?: TuningOptions | false;
  /** Default: IndexedDB in a page, a file in the cache directory under Node. A string is another directory (Node). false: none. */
  wisdomStore?: WisdomStore | string | false;
  /** Sizes of the model's symbolic dimensions. */
  dims?: Record<string, number>;
  /** Default 'balanced'. */
  precision?: Precision;
  /**
   * Answer as soon as the model is compiled, while its weights still arrive: the first run goes as far as they are there, and is done soon
   * after the last. If the rest of the download fails, so do the runs, and model.loaded says why. Default false: wait for all weights.
   */
  runWhileLoading?: boolean;
  onProgress?: (event: LoadProgress) => void;
  signal?: AbortSignal;
  /**
   * Keep what was compiled and packed in the origin's private file system, so that the next visit starts from there. Default true;
   * works for models that come from a URL, with the compiler that came with this SDK.
   */
  cache?: boolean;
  /** Compare weights with their hashes while they arrive. Default true. */
  verify?: boolean;
  /** A server that does not answer for so long, or a download that brings nothing, fails with 'stalled'. Default 30 000. */
  stallTimeoutMs?: number;
  /** Where compiler.wasm is, when it does not lie beside the SDK; or its bytes, or its module. */
  compiler?: CompilerSource | URL | ArrayBuffer;
  /**
   * Do without something the environment has. `worker`: false runs the model on this thread, which it blocks; 'optional' does so where workers
   * cannot be started, which is an error otherwise.
   */
  preferences?: { relaxedSimd?: boolean; sharedMemory?: boolean; worker?: boolean | 'optional'; memory64?: boolean };
}

export interface RunOptions {
  /** Aborting takes a waiting run out of the queue and stops one under way; the model stays usable. */
  signal?: AbortSignal;
}

export interface ProfileOptions extends RunOptions {
  /** Passes over all steps; the least of their times counts. Default 10. */
  repeats?: number;
}
