// Wisdom as its files have it: measured schedules.
import { KilnError } from './errors.js';

export interface Entry {
  scope: string;
  spec: string;
  schedule: string;
  ns: number;
}

export interface WisdomFile {
  'wasmkiln-wisdom': number;
  entries: Entry[];
}

export const kVersion = 1;

export const isEntry = (entry: Partial<Entry> | null): entry is Entry => typeof entry?.scope === 'string' && typeof entry.spec === 'string' && typeof entry.schedule === 'string' && typeof entry.ns === 'number';

/** What the compiler takes of a file: its entries, one a line (runtime/web_api.h). It judges them. */
export function wisdomLines(json: string): string {
  const refuse = (why: string): never => {
    throw new KilnError('bad-wisdom', `${why}; delete it or make it again by tuning`);
  };
  let file: Partial<WisdomFile> | null = null;
  try {
    file = JSON.parse(json) as Partial<WisdomFile> | null;
  } catch {
    // said below
  }
  if (typeof file !== 'object' || file === null) return refuse('the wisdom is not JSON of the expected form');
  const { 'wasmkiln-wisdom': version, entries } = file;
  if (version === undefined) return refuse('this is not a wisdom file');
  if (version !== kVersion) return refuse('the wisdom is of another version');
  if (!Array.isArray(entries)) return refuse('the wisdom has no entries');
  const line = (entry: Entry): string => {
    const texts = isEntry(entry) ? [entry.scope, entry.spec, entry.schedule] : [];
    if (texts.length === 0 || texts.some((text) => /[\t\n]/.test(text))) return refuse('the wisdom has a malformed entry');
    return `${[...texts, entry.ns].join('\t')}\n`;
  };
  return entries.map(line).join('');
}
