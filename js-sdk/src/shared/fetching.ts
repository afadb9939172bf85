import { KilnError } from './errors.js';

export interface Answer {
  response: Response;
  /** Ends the connection. To cancel the body does not, in Firefox, until something more comes; and a page has six connections to a server. */
  leave: () => void;
}

/** fetch(), but a server that sends no answer for `stallTimeoutMs` is an error: 'stalled'. The body is read by bodyOf(), or by who watches over it. */
export async function answerOf(url: string, stallTimeoutMs: number, init: RequestInit = {}): Promise<Answer> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(init.signal?.reason);
  if (init.signal?.aborted) abort();
  init.signal?.addEventListener('abort', abort, { once: true });
  const stalled = new KilnError('stalled', `${url} has not answered for ${stallTimeoutMs / 1000} s; try again, or raise stallTimeoutMs`, { where: url });
  const watchdog = setTimeout(() => stop.abort(stalled), stallTimeoutMs);
  try {
    return { response: await fetch(url, { ...init, signal: stop.signal }), leave: () => stop.abort() };
  } catch (thrown) {
    throw stop.signal.reason === stalled ? stalled : thrown;
  } finally {
    clearTimeout(watchdog);
  }
}

/** What there is to wait for, or `error` when it has not come after so long. */
export async function within<T>(ms: number, work: Promise<T>, error: () => KilnError): Promise<T> {
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => (watchdog = setTimeout(() => reject(error()), ms)));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(watchdog);
  }
}

/** All bytes of an answer; a server that sends nothing more for so long is an error too. */
export async function bodyOf({ response: { body }, leave }: Answer, url: string, stallTimeoutMs: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!body) return new Uint8Array(0);
  const reader = body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const stalled = (): KilnError => new KilnError('stalled', `${url} sent nothing for ${stallTimeoutMs / 1000} s after ${size} bytes; try again, or raise stallTimeoutMs`, { where: url });
  try {
    for (let chunk; (chunk = (await within(stallTimeoutMs, reader.read(), stalled)).value); size += chunk.length) chunks.push(chunk);
  } catch (thrown) {
    leave();
    throw thrown;
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
