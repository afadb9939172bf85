// The state behind a Model. Whatever works for a model holds this and not the Model, so that the engine can collect a Model that nobody
// holds.
import { asKilnError, KilnError } from '../shared/errors.js';
import { cut, resultsOf } from '../shared/bounded.js';
import type { OutputInfo, PortInfo } from '../shared/manifest.js';
import type { MailboxClient } from '../shared/mailbox.js';
import { isNode } from '../shared/node.js';
import type { ModelInfo, ModelMemory, StepProfile } from '../model.js';
import type { ProfileOptions, RunOptions } from '../options.js';
import { bytesOf, copyOf, orderInputs, packInputs, Tensor } from '../tensor.js';
import { check, kSignal, quoted, shown, suggestion, whole, type Rules } from './checks.js';
import type { Engine } from './engine.js';
import { RunQueue } from './queue.js';
import type { Team } from './team.js';

const kProfileRepeats = 10;
const kRunRules: Rules<RunOptions> = { signal: kSignal };
const kProfileRules: Rules<ProfileOptions> = { ...kRunRules, repeats: whole(1, 1e6, 'a whole number from 1') };

/** Whether a developer is likely to read the console. */
function inDevelopment(): boolean {
  if (isNode) return process.env['NODE_ENV'] !== 'production';
  return /^(localhost|127\.|\[::1\]|$)/.test(globalThis.location?.hostname ?? '');
}

export class ModelCore {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly OutputInfo[];
  private readonly queue_ = new RunQueue();
  private spare_: ArrayBuffer[] = []; // of the inputs of the last run
  private readonly lent_ = new Map<string, Tensor>(); // by inputTensor()
  private ended_: KilnError | null = null;
  private kept_ = false;
  private heir_: ModelCore | null = null; // which has taken this one's engine

  constructor(
    private engine_: Engine,
    readonly loaded: Promise<void>,
    private wisdom_: string,
    private readonly notes_: string[],
  ) {
    this.inputs = engine_.result.inputs;
    this.outputs = resultsOf(engine_.result.outputs);
  }

  async run(inputs: Record<string, Tensor>, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    check('', options, kRunRules);
    const outputs = this.engine_.mailbox ? await this.runByMailbox(inputs, options) : await this.runByMessage(inputs, options);
    return Object.fromEntries(this.outputs.map((port, i) => {
      const { shape, bytes } = cut(port, outputs[i] as ArrayBuffer, outputs);
      return [port.name, Tensor.fromBytes({ ...port, shape }, bytes)];
    }));
  }

  inputTensor(name: string): Tensor {
    if (this.ended_) throw this.ended_;
    const lent = this.lent_.get(name);
    if (lent) return lent;
    const index = this.inputs.findIndex((port) => port.name === name);
    const port = this.inputs[index];
    if (!port) throw this.unknownInput(name);
    const tensor = Tensor.over(port, this.engine_.mailbox?.slot(index) ?? new Uint8Array(bytesOf(port)));
    this.lent_.set(name, tensor);
    return tensor;
  }

  async profile(inputs: Record<string, Tensor>, options: ProfileOptions = {}): Promise<StepProfile[]> {
    check('', options, kProfileRules);
    const clockMs = this.engine_.settings.environment.sharedMemory ? 0.005 : 0.1;
    const repeats = options.repeats ?? kProfileRepeats;
    const pack = (): ArrayBuffer[] => packInputs(orderInputs(this.inputs, inputs));
    return this.enqueue(
      pack,
      async (packed) => {
        const { team, result } = this.engine_;
        const ms = await team.host.call('profile', { inputs: packed, repeats, clockMs }, packed);
        return result.steps.map((step, i) => ({ ...step, ms: ms[i] ?? NaN, gflops: step.flops / (ms[i] ?? NaN) / 1e6 }));
      },
      options,
    );
  }

  info(): ModelInfo {
    const { kernels, steps, moduleBytes, memory64, notes } = this.engine_.result;
    const { timings, phases, downloadedBytes } = this.engine_.landed;
    const { threads, shared, relaxedSimd, workers, missing, environment } = this.engine_.settings;
    const allNotes = [...this.notes_, ...notes];
    return {
      inputs: this.inputs, outputs: this.outputs, threads, sharedMemory: shared, relaxedSimd, memory64, workers, missing,
      notes: allNotes, device: environment.device, kernels, steps: steps.length, timings, phases, moduleBytes, downloadedBytes,
      cache: this.kept_ ? 'kept' : this.engine_.result.cache,
    };
  }

  memory(): ModelMemory {
    const { layout, memoryBytes } = this.engine_.result;
    return {
      weights: layout.packed,
      arena: layout.scratch - layout.arena,
      scratch: layout.scratchStride * this.engine_.settings.threads,
      total: memoryBytes,
      compilerFreed: true,
    };
  }

  exportWisdom(): string {
    return this.wisdom_;
  }

  dispose(): void {
    this.end(new KilnError('disposed', 'the model has been disposed of; load it again'), this.queue_.idle);
  }

  /** Nobody holds the model any more. */
  forgotten(): void {
    if (this.ended) return;
    if (inDevelopment()) console.warn(`wasmkiln: a model of ${Math.ceil(this.memory().total / 2 ** 20)} MB was collected that nobody has disposed of. Its workers ran until now: call model.dispose() when you are done, or declare it with "using".`);
    this.dispose();
  }

  /** The model has been cached for the next visit, or a note says why not. */
  kept(note: string | null): void {
    if (this.heir_) {
      this.heir_.kept(note);
      return;
    }
    this.kept_ = note === null;
    if (note !== null && !this.ended_) this.notes_.push(note);
  }

  /**
   * Ends the model. After a crash nothing in it can be trusted any more. A model that was disposed of (`well`) may still be cached for the
   * next visit.
   */
  end(error: KilnError, well = false): void {
    this.heir_?.end(error, well);
    if (this.heir_ || this.ended_) return;
    this.ended_ = error;
    this.engine_.end(error, well);
    this.queue_.clear(error);
  }

  get ended(): boolean {
    return this.ended_ !== null;
  }

  /** Whether this team still works for the model. */
  holds(team: Team): boolean {
    return this.heir_ ? this.heir_.holds(team) : !this.ended && this.engine_.team === team;
  }

  /** Takes over the engine of another model of the same file, between two runs. The rest of that model is dropped. */
  async adopt(tuned: ModelCore): Promise<void> {
    this.wisdom_ = tuned.wisdom_;
    const swap = (): Promise<void> => {
      if (this.lent_.size) {
        this.note('what was tuned serves from the next load on: tensors of this module are in use');
        tuned.dispose();
        return Promise.resolve();
      }
      const old = this.engine_;
      tuned.heir_ = this;
      this.engine_ = tuned.engine_;
      this.spare_ = [];
      old.end(new KilnError('disposed', 'a tuned module has taken the place of this one'), false);
      return Promise.resolve();
    };
    if (this.ended || !this.engine_.canBecome(tuned.engine_)) tuned.end(new KilnError('disposed', 'it is no faster'));
    else await this.queue_.add(swap, () => undefined).catch(() => tuned.dispose()); // disposed of in the meantime
  }

  note(text: string): void {
    this.notes_.push(text);
  }

  private unknownInput(name: unknown): KilnError {
    const names = this.inputs.map((port) => port.name);
    const meant = typeof name === 'string' ? suggestion(name, names) : '';
    return new KilnError('bad-input', `the model has no input ${shown(name)}: ${meant}its inputs are ${quoted(names)}`, { where: String(name) });
  }

  private isLent(input: number, data: ArrayBufferView): boolean {
    return this.lent_.get(this.inputs[input]?.name ?? '')?.data === data;
  }

  private runByMailbox(inputs: Record<string, Tensor>, options: RunOptions): Promise<ArrayBuffer[]> {
    const pack = (): ArrayBufferView[] => {
      const data = orderInputs(this.inputs, inputs);
      return this.queue_.idle ? data : data.map((each, i) => (this.isLent(i, each) ? each : copyOf(each))); // read at once, or later
    };
    return this.enqueue(pack, (data) => {
      const { team, mailbox } = this.engine_;
      return team.host.during((mailbox as MailboxClient).run(data));
    }, options);
  }

  private async runByMessage(inputs: Record<string, Tensor>, options: RunOptions): Promise<ArrayBuffer[]> {
    const pack = (): ArrayBuffer[] => packInputs(orderInputs(this.inputs, inputs), this.spare_.splice(0));
    const { outputs, inputs: spare } = await this.enqueue(pack, (packed) => this.engine_.team.host.call('run', packed, packed), options);
    this.spare_ = spare;
    return outputs;
  }

  private async enqueue<P, T>(pack: () => P, work: (packed: P) => Promise<T>, { signal }: RunOptions): Promise<T> {
    if (this.ended_) throw this.ended_;
    const packed = pack();
    let running = false;
    const guarded = async (): Promise<T> => {
      running = true;
      try {
        return await work(packed);
      } catch (thrown) {
        const error = asKilnError(thrown, 'internal', 'the run failed');
        if (error.code === 'internal') this.end(error);
        throw error;
      } finally {
        running = false;
      }
    };
    return this.queue_.add(guarded, () => this.engine_.canceller.stop(() => running), signal);
  }
}
