import type { KernelInfo, PortInfo, StepInfo } from './shared/manifest.js';
import type { Timings } from './shared/messages.js';
import type { Phase } from './shared/timeline.js';
import type { Missing } from './shared/environment.js';
import type { ProfileOptions, RunOptions } from './options.js';
import type { ModelCore } from './main/core.js';
import type { Tensor } from './tensor.js';

export interface ModelInfo {
  inputs: readonly PortInfo[];
  outputs: readonly PortInfo[];
  threads: number;
  sharedMemory: boolean;
  relaxedSimd: boolean;
  memory64: boolean;
  workers: boolean;
  /** What this environment lacks, and why. */
  missing: readonly Missing[];
  notes: readonly string[];
  device: string;
  /** Every distinct kernel with its schedule and where that came from. */
  kernels: readonly KernelInfo[];
  steps: number;
  timings: Timings;
  /** What the load did when; empty, and `timings` zero, while weights still arrive. */
  phases: readonly Phase[];
  moduleBytes: number;
  downloadedBytes: number;
  /** hit: this load started from what an earlier one kept; miss: it did not. kept: the next one can. none: no cache here. */
  cache: 'hit' | 'miss' | 'kept' | 'none';
}

export interface ModelMemory {
  weights: number;
  arena: number;
  scratch: number;
  /** All that is used of the model's WebAssembly memory. */
  total: number;
  /** The compiler and its memory are gone. */
  compilerFreed: true;
}

/** One step of the model: what it is, and the least time it took. */
export interface StepProfile extends StepInfo {
  ms: number;
  gflops: number;
}

/** Whose model is gone. */
const forgotten = typeof FinalizationRegistry === 'undefined' ? null : new FinalizationRegistry<ModelCore>((core) => core.forgotten());
/** Models that run, which stay though nobody else may hold them. */
const running = new Map<Promise<unknown>, Model>();

/** A model that is ready to run. Dispose of it when it is not needed any more; one that nobody holds is disposed of when the engine collects it. */
export class Model {
  /** @internal So that it is called so in a page's console as well. */
  static readonly name = 'Model';
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  /** When all weights have arrived; rejects when they never will, as all runs do. Only of a model that runs while it loads is this later than loadModel(). */
  readonly loaded: Promise<void>;

  private constructor(private readonly core: ModelCore) {
    this.inputs = core.inputs;
    this.outputs = core.outputs;
    this.loaded = core.loaded;
    forgotten?.register(this, core, this);
  }

  /** @internal loadModel() makes models, nobody else. */
  static of(core: ModelCore): Model {
    return new Model(core);
  }

  /** Runs the model once. Calls while another runs wait their turn, in order; the inputs are copied at the call, but for inputTensor()s. */
  run(inputs: Record<string, Tensor>, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    return this.held(this.core.run(inputs, options));
  }

  /**
   * A tensor of the model's own for an input that is large and changes little, such as a key/value cache: write to its `data`
   * between runs and pass it to run(), which takes it from where it is. Its values stay from run to run, until a run is given
   * another tensor for this input; the first are undefined. Where the page and the model share no memory (see
   * info().sharedMemory) it is copied at each run as any other.
   */
  inputTensor(name: string): Tensor {
    return this.core.inputTensor(name);
  }

  /** Times every step on its own: the least of several repetitions. */
  profile(inputs: Record<string, Tensor>, options: ProfileOptions = {}): Promise<StepProfile[]> {
    return this.held(this.core.profile(inputs, options));
  }

  info(): ModelInfo {
    return this.core.info();
  }

  memory(): ModelMemory {
    return this.core.memory();
  }

  /** What is known about schedules on this device, as JSON: ship it beside the model and pass it as tuning.wisdom. */
  exportWisdom(): string {
    return this.core.exportWisdom();
  }

  /** Ends the model's workers and gives its memory back. Pending runs reject with 'disposed'; doing it twice is harmless. */
  dispose(): void {
    forgotten?.unregister(this);
    this.core.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private held<T>(work: Promise<T>): Promise<T> {
    running.set(work, this);
    const done = (): unknown => running.delete(work);
    work.then(done, done);
    return work;
  }
}
