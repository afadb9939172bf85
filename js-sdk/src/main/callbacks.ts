// What the user's own functions do: an exception is theirs, and no reason to stop; one that never answers is not waited for.
import type { WisdomStore } from '../options.js';
import type { LoadProgress } from '../shared/messages.js';
import { KilnError } from '../shared/errors.js';
import { within } from '../shared/fetching.js';
import { isNode } from '../shared/node.js';

/** As a listener's exception: to the page's error handlers. Node would end, so there it is a warning. */
function report(thrown: unknown): void {
  if (isNode) process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
  else if (typeof reportError === 'function') reportError(thrown);
  else console.error(thrown);
}

/** Tells how far a load is, whatever becomes of it. */
export function teller(onProgress: ((event: LoadProgress) => unknown) | undefined): (event: LoadProgress) => void {
  return (event) => {
    try {
      const answer = onProgress?.(event);
      if (answer instanceof Promise) answer.catch(report);
    } catch (thrown) {
      report(thrown);
    }
  };
}

/** The same store, but one that does not answer in time has failed. */
export function patientStore(store: WisdomStore, timeoutMs: number): WisdomStore {
  const answer = async <T>(work: () => Promise<T>): Promise<T> => within(timeoutMs, Promise.resolve(work()), () => new KilnError('stalled', `the store has not answered for ${timeoutMs / 1000} s`));
  return { load: (device) => answer(() => store.load(device)), save: (device, json) => answer(() => store.save(device, json)) };
}
