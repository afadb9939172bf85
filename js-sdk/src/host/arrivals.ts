// Weights that are still arriving, and a run that goes as far as they are there.
import type { Manifest } from '../shared/manifest.js';
import { turn } from '../shared/turn.js';
import { newArrivalWords, setComplete, stopAhead } from './run_ahead.js';
import type { Session } from './session.js';

/** Without a helper the host runs so much of a run at a time, about a millisecond. Then it handles the next weights. */
const kSliceFlops = 50e6;

/** Runs steps as their weights arrive. When it is stopped, resolves with the number of steps that it has run. */
export type AheadHelper = (session: Session, arrival: Int32Array) => Promise<number>;

export class Arrivals {
  /** Resolves when all weights are in their place. Rejects if they never will be. */
  readonly landed: Promise<void>;
  /** Resolves when, in addition, nobody runs ahead any more. */
  readonly settled: Promise<unknown>;
  private ahead_: Promise<void> | null = null;
  private complete_ = 0; // transfers, the first of the file
  private all_ = false;
  private wake_: () => void = () => undefined;
  private readonly words_: Int32Array | null;

  /** `landed` settles when no more weights will come. */
  constructor(
    private readonly manifest_: Manifest,
    landed: Promise<void>,
    private readonly helper_: AheadHelper | null,
  ) {
    this.words_ = helper_ && newArrivalWords();
    this.landed = landed.finally(() => {
      this.all_ = true;
      this.abandon();
    });
    this.settled = this.landed.then(() => this.ahead_).catch(() => this.ahead_).catch(() => undefined); // what is thrown, whoever waits for `landed` hears
  }

  /** Nobody waits for weights any more. */
  abandon(): void {
    if (this.words_) stopAhead(this.words_);
  }

  /** Notes that so many transfers are complete, with the load phases that they start. */
  reach(transfers: number): void {
    this.complete_ = transfers;
    this.wake_();
    if (this.words_) setComplete(this.words_, transfers);
  }

  /** Whether a run may touch the arena. */
  async arenaIsFree(): Promise<void> {
    await this.until(this.manifest_.arenaNeeds);
  }

  /** Begins a run if weights are missing. Resolves when none are. session.run() completes the run. */
  async begin(session: Session, inputs: Uint8Array[]): Promise<void> {
    if (this.all_) return;
    session.begin(inputs);
    this.ahead_ = this.helper_ && this.words_ ? session.advanceBy(this.helper_(session, this.words_)) : this.advance(session);
    await this.ahead_;
    await this.landed;
    await turn(); // who waits for the same hears it before the rest of the run
  }

  private async advance(session: Session): Promise<void> {
    const { stepNeeds: needs } = this.manifest_;
    for (let step = 0; step < needs.length && !this.all_; ) {
      await this.until(needs[step] as number);
      step = this.sliceEnd(step);
      session.advance(step);
      await turn();
    }
  }

  private async until(transfers: number): Promise<void> {
    while (!this.all_ && this.complete_ < transfers) await Promise.race([new Promise<void>((resolve) => (this.wake_ = resolve)), this.landed]);
  }

  private sliceEnd(first: number): number {
    const { stepNeeds: needs, steps } = this.manifest_;
    const mayRun = (step: number): boolean => step < steps.length && (needs[step] as number) <= this.complete_;
    let end = first + 1;
    for (let flops = steps[first]?.flops ?? 0; flops < kSliceFlops && mayRun(end); end++) flops += steps[end]?.flops ?? 0;
    return end;
  }
}
