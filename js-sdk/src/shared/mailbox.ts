// Runs through shared memory. The page writes the inputs and wakes the host, which answers the same way. A message between threads costs
// more than a run of a small model, and so does waking a sleeping thread. So after a run the host waits for the next one: first it polls,
// then it sleeps on a word. After a while it returns to its messages, and the next run must send it one.
import type { KilnError } from './errors.js';
import { turn } from './turn.js';

/** Larger inputs and outputs are written and read in the model's memory, which saves a copy. */
const kMostBytes = 2 << 20;
/** How long the host waits for the next run. While runs go on, messages and timers wait so long. */
const kAttendMs = 50;
/** … and how long it waits between two pieces of other work. */
const kBusyMs = 1;
/**
 * How often the host polls before it sleeps: kGlances takes some 10 µs, for a page that runs again and again. kLooks takes a fifth of a
 * millisecond. The host uses it only if the page was awake when the last run ended, so that each has a core of its own. If both are on one
 * core, a thread that polls keeps the other from going on.
 */
const kGlances = 2000;
const kLooks = 80_000;
/** If runs usually take less than this, the page stays awake. It polls for so long, each time after other tasks of its own. */
const kQuickMs = 0.25;
const kTurns = 40; // at most
/**
 * If it had to sleep after all, it tries again with the second run, then the fourth, … then every 32nd. kForgiving good runs reset this.
 */
const kMostInVain = 5;
const kForgiving = 8;

/** Lets the page's waiting tasks run. */
type Turn = () => Promise<void>;
const nextTurn: Turn | null = (globalThis as { scheduler?: { yield?: Turn } }).scheduler?.yield ? () => scheduler.yield() : null;

// Words: which run is asked for, which is done and how it went, whether the host attends (kAwake, kAsleep), whether
// the page stays awake.
const kAsked = 0;
const kDone = 16;
const kFailed = 17;
const kAttends = 32;
const kPageAwake = 33;
const kAsleep = 1;
const kAwake = 2;
const kHeaderBytes = 192;
const kAlign = 64;

/** The place of each input and output in a buffer, in order. */
interface Slot {
  at: number;
  bytes: number;
}
export interface Slots {
  buffer: SharedArrayBuffer;
  inputs: Slot[];
  outputs: Slot[];
}
export interface MailboxHandle {
  words: SharedArrayBuffer;
  slots: Slots;
}

/**
 * Small values get slots beside the words. Large ones stay in the model's memory, where `own` says; null if that memory is not shared.
 * Small ones would gain nothing there. And a page that holds a model's memory keeps its address space (some 10 GB in V8) until the next
 * garbage collection, long after dispose().
 */
export function createMailbox(inputBytes: number[], outputBytes: number[], own: Slots | null): MailboxHandle | null {
  let end = kHeaderBytes;
  const slot = (bytes: number): Slot => {
    const at = end;
    end += Math.ceil(bytes / kAlign) * kAlign;
    return { at, bytes };
  };
  const inputs = inputBytes.map(slot), outputs = outputBytes.map(slot);
  if (end > kMostBytes) return own && { words: new SharedArrayBuffer(kHeaderBytes), slots: own };
  const buffer = new SharedArrayBuffer(end);
  return { words: buffer, slots: { buffer, inputs, outputs } };
}

/** Copies the bytes, unless they are there already. */
export function place(from: ArrayBufferView, to: Uint8Array): void {
  if (from.buffer === to.buffer && from.byteOffset === to.byteOffset) return;
  to.set(new Uint8Array(from.buffer, from.byteOffset, from.byteLength));
}

class Mailbox {
  readonly words: Int32Array;
  readonly inputs: Uint8Array[];
  readonly outputs: Uint8Array[];

  constructor({ words, slots: { buffer, inputs, outputs } }: MailboxHandle) {
    const view = ({ at, bytes }: Slot): Uint8Array => new Uint8Array(buffer, at, bytes);
    this.words = new Int32Array(words, 0, kHeaderBytes / 4);
    this.inputs = inputs.map(view);
    this.outputs = outputs.map(view);
  }
}

/** The host's side. */
export class MailboxServer {
  private readonly box_: Mailbox;
  private page_awake_ = false;

  /** `run` reads the inputs and writes the outputs. If it throws, the page will ask for the error. */
  constructor(
    readonly handle: MailboxHandle,
    private readonly run_: (inputs: Uint8Array[], outputs: Uint8Array[]) => void,
    private readonly failed_: (thrown: unknown) => void,
    /** Whether this thread has other work between runs. */
    private readonly busy_: () => boolean = () => false,
  ) {
    this.box_ = new Mailbox(handle);
  }

  /** The inputs of the run that is asked for. */
  get inputs(): Uint8Array[] {
    return this.box_.inputs;
  }

  /**
   * Serves the run that is asked for, and for a moment the next ones. A page that asks a host which does not attend sends it a message to
   * come here. Other tasks of this thread get a turn every kAttendMs, however many runs there are.
   */
  async attend(): Promise<void> {
    const { words } = this.box_;
    Atomics.store(words, kAttends, kAwake);
    for (let last = performance.now(); ; ) {
      const served = this.serve();
      const busy = this.busy_();
      if (served === false) return;
      if (served === null && !busy) break;
      if (busy || performance.now() - last > kAttendMs) {
        await turn();
        last = performance.now();
      }
      this.wait(busy ? kBusyMs : kAttendMs);
    }
    Atomics.store(words, kAttends, 0);
    this.serve(); // asked between the last look and the word before
  }

  /** Whether the run that was asked for succeeded. null: there was none. After a failed run the host does not attend. */
  private serve(): boolean | null {
    const { words, inputs, outputs } = this.box_;
    const asked = Atomics.load(words, kAsked);
    if (asked === Atomics.load(words, kDone)) return null;
    let failed = 0;
    try {
      this.run_(inputs, outputs);
    } catch (thrown) {
      failed = 1;
      this.failed_(thrown);
    }
    if (failed) Atomics.store(words, kAttends, 0); // the page asks why by a message
    Atomics.store(words, kFailed, failed);
    this.page_awake_ = Atomics.load(words, kPageAwake) === 1;
    Atomics.store(words, kDone, asked);
    Atomics.notify(words, kDone);
    return !failed;
  }

  private wait(ms: number): void {
    const { words } = this.box_;
    const done = Atomics.load(words, kDone);
    if (this.look(done)) return;
    Atomics.store(words, kAttends, kAsleep);
    Atomics.wait(words, kAsked, done, ms);
    Atomics.store(words, kAttends, kAwake);
  }

  /** Whether a run was asked for meanwhile. */
  private look(done: number): boolean {
    const { words } = this.box_;
    for (let i = this.page_awake_ ? kLooks : kGlances; i > 0; i--) if (Atomics.load(words, kAsked) !== done) return true;
    return false;
  }
}

/** The page's side, which never blocks. */
export class MailboxClient {
  private readonly box_: Mailbox;
  private reject_: (error: KilnError) => void = () => undefined;
  private usual_ms_ = Infinity; // a run that takes long for once makes little difference
  private in_vain_ = 0; // runs that the page stayed awake for, and were not done in that time
  private good_ = 0; // since
  private patience_ = 0;
  private closed_: KilnError | null = null;

  /** `fetch` sends the host to its mailbox. `failure` rejects with the error of the last run. Without `turn` the page sleeps. */
  constructor(
    handle: MailboxHandle,
    private readonly fetch_: () => void,
    private readonly failure_: () => Promise<never>,
    private readonly turn_: Turn | null = nextTurn,
  ) {
    this.box_ = new Mailbox(handle);
  }

  /** The place from which every run reads an input. What is written there stays. */
  slot(input: number): Uint8Array {
    return this.box_.inputs[input] as Uint8Array;
  }

  /** Copies the inputs before it returns, except those that are in their slots. One run at a time. */
  async run(inputs: ArrayBufferView[]): Promise<ArrayBuffer[]> {
    const { words, inputs: slots, outputs } = this.box_;
    inputs.forEach((from, i) => place(from, slots[i] as Uint8Array));
    const start = performance.now();
    const before = Atomics.load(words, kDone);
    const asked = (before + 1) | 0;
    const turn = this.usual_ms_ < kQuickMs && --this.patience_ <= 0 ? this.turn_ : null;
    Atomics.store(words, kPageAwake, turn ? 1 : 0);
    Atomics.store(words, kAsked, asked);
    const attends = Atomics.load(words, kAttends);
    if (attends === kAsleep) Atomics.notify(words, kAsked);
    else if (attends !== kAwake) this.fetch_();
    if (turn) await this.turns(turn, asked, start + kQuickMs);
    while (Atomics.load(words, kDone) !== asked) await this.changed(before);
    this.usual_ms_ = Math.min(performance.now() - start, 2 * this.usual_ms_);
    if (Atomics.load(words, kFailed)) return this.failure_();
    return outputs.map((bytes) => bytes.slice().buffer);
  }

  /** Rejects waiting runs, and wakes the host if it waits for one. */
  close(error: KilnError): void {
    this.closed_ = error;
    Atomics.notify(this.box_.words, kAsked);
    this.reject_(error);
  }

  private async turns(turn: Turn, asked: number, until: number): Promise<void> {
    const { words } = this.box_;
    const done = (): boolean => Atomics.load(words, kDone) === asked;
    for (let i = 0; i < kTurns && !done() && performance.now() < until; i++) await turn();
    if (done()) {
      if (++this.good_ === kForgiving) this.in_vain_ = 0;
      return;
    }
    Atomics.store(words, kPageAwake, 0);
    this.good_ = 0;
    this.in_vain_ = Math.min(this.in_vain_ + 1, kMostInVain);
    this.patience_ = 2 ** this.in_vain_;
  }

  private async changed(done: number): Promise<void> {
    if (this.closed_) throw this.closed_;
    const { async, value } = Atomics.waitAsync(this.box_.words, kDone, done);
    if (async) await Promise.race([value, new Promise((_, reject) => (this.reject_ = reject))]);
  }
}
