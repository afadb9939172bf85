// Measured schedules between loads: wisdom from the user and from a store, and how they are merged.
import { aborted, asKilnError, KilnError } from '../shared/errors.js';
import { answerOf, bodyOf } from '../shared/fetching.js';
import { isEntry, kVersion, type Entry, type WisdomFile } from '../shared/wisdom.js';
import type { LoadOptions, WisdomStore } from '../options.js';
import { isNode } from '../shared/node.js';
import { absolute } from './sources.js';
import { indexedDbStore, fileStore } from './stores.js';

/** Merges the entries of all files. Of two for the same kernel the faster stays. Files of another version or form are left out. */
export function mergeWisdom(files: (string | null)[]): string {
  const best = new Map<string, Entry>();
  for (const file of files) {
    for (const entry of entriesOf(file)) {
      const key = `${entry.scope}\n${entry.spec}`;
      const other = best.get(key);
      if (!other || entry.ns < other.ns) best.set(key, entry);
    }
  }
  return JSON.stringify({ 'wasmkiln-wisdom': kVersion, entries: [...best.values()] } satisfies WisdomFile);
}

function entriesOf(file: string | null): Entry[] {
  try {
    const parsed = JSON.parse(file ?? '{}') as Partial<WisdomFile>;
    return parsed['wasmkiln-wisdom'] === kVersion && Array.isArray(parsed.entries) ? parsed.entries.filter(isEntry) : [];
  } catch {
    return [];
  }
}

/** The text of the user's wisdom. The compiler checks it. */
export async function givenWisdom(wisdom: string | URL | object, stallTimeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
  if (typeof wisdom === 'object' && !(wisdom instanceof URL)) {
    try {
      return JSON.stringify(wisdom);
    } catch (thrown) {
      throw asKilnError(thrown, 'bad-wisdom', 'the given wisdom has no JSON text');
    }
  }
  const text = wisdom.toString();
  if (text.trimStart().startsWith('{')) return text;
  const url = absolute(text);
  try {
    const answer = await answerOf(url.href, stallTimeoutMs, signal ? { signal } : {});
    if (answer.response.ok) return new TextDecoder().decode(await bodyOf(answer, url.href, stallTimeoutMs));
    answer.leave();
    throw new KilnError('network', `the wisdom file ${url.href} answered ${answer.response.status}`, { where: url.href });
  } catch (thrown) {
    if (signal?.aborted) throw aborted(signal);
    throw asKilnError(thrown, 'network', `the wisdom file ${url.href} cannot be fetched`);
  }
}

export function chooseStore(option: LoadOptions['wisdomStore']): WisdomStore | null {
  if (option === false) return null;
  if (typeof option === 'object') return option;
  if (isNode) return fileStore(option);
  return typeof indexedDB === 'undefined' ? null : indexedDbStore();
}

/** Adds `json` to the store, or replaces what it has. If the store fails, returns a note for info(). */
export async function remember(store: WisdomStore, device: string, json: string, replace = false): Promise<string | null> {
  if (entriesOf(json).length === 0 && !replace) return null;
  try {
    const known = replace ? null : await store.load(device);
    const merged = mergeWisdom([known, json]);
    if (merged !== known) await store.save(device, merged);
    return null;
  } catch (thrown) {
    return `wisdom was not saved: ${asKilnError(thrown, 'internal', 'the store failed').message}`;
  }
}
