// Runs a model: the workers, their module, and the ways to reach them. A tuned engine may replace the first one.
import type { KilnError } from '../shared/errors.js';
import { MailboxClient } from '../shared/mailbox.js';
import type { Landed, LoadResult } from '../shared/messages.js';
import { Canceller } from './cancel.js';
import type { Settings } from './settings.js';
import type { Team } from './team.js';

export class Engine {
  readonly canceller: Canceller;
  readonly mailbox: MailboxClient | null;
  /** Caches the model for the next visit, once. null while there is nothing to cache. */
  keep: (() => Promise<unknown>) | null = null;
  /** Until the last weight has landed, this is as if nothing had been loaded. */
  landed: Landed = { downloadedBytes: 0, timings: { compilerReadyMs: 0, compileMs: 0, tuneMs: 0, downloadMs: 0, initMs: 0, totalMs: 0 }, phases: [] };

  constructor(
    readonly team: Team,
    readonly settings: Settings,
    readonly result: LoadResult,
  ) {
    this.canceller = new Canceller(result.cancel);
    const { host } = team;
    const attend = (): void => void host.call('attend', null).catch(() => undefined); // the mailbox says how it went
    this.mailbox = result.mailbox && new MailboxClient(result.mailbox, attend, () => host.call('failure', null));
  }

  /** Whether `other` has other schedules and is reached in the same way. */
  canBecome(other: Engine): boolean {
    const schedules = ({ result }: Engine): string => JSON.stringify(result.kernels.map(({ spec, schedule }) => [spec, schedule]));
    return (this.mailbox === null) === (other.mailbox === null) && schedules(this) !== schedules(other);
  }

  /** `well`: the model may still be cached for the next visit. */
  end(error: KilnError, well: boolean): void {
    this.canceller.close();
    this.mailbox?.close(error);
    this.team.terminate(error, well ? this.keep : null);
  }
}
