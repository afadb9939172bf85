import { KilnError } from './errors.js';

/** fetch(), but a server that sends no answer for `stallTimeoutMs` is an error: 'stalled'. Who reads the body watches over it. */
export async function answerOf(url: string, stallTimeoutMs: number, init: RequestInit = {}): Promise<Response> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(init.signal?.reason);
  if (init.signal?.aborted) abort();
  init.signal?.addEventListener('abort', abort, { once: true });
  const stalled = new KilnError('stalled', `${url} has not answered for ${stallTimeoutMs / 1000} s; try again, or raise stallTimeoutMs`, { where: url });
  const watchdog = setTimeout(() => stop.abort(stalled), stallTimeoutMs);
  try {
    return await fetch(url, { ...init, signal: stop.signal });
  } catch (thrown) {
    throw stop.signal.reason === stalled ? stalled : thrown;
  } finally {
    clearTimeout(watchdog);
  }
}
