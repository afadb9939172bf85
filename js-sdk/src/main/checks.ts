// Checks what callers give before anything begins. A caller who writes `thread: 2` gets an error that lists the valid names.
import { KilnError } from '../shared/errors.js';

/** A rule for a value, as a test and in words. */
export type Rule = readonly [test: (value: unknown) => boolean, words: string];
export type Rules<T> = Record<keyof T, Rule>;

export const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
export const isFunction = (value: unknown): boolean => typeof value === 'function';
const isWhole = (value: unknown, least: number, most: number): boolean => Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

export const kObject: Rule = [isObject, 'an object'];
export const kFlag: Rule = [(value) => typeof value === 'boolean', 'true or false'];
export const kFunction: Rule = [isFunction, 'a function'];
export const kNotNegative: Rule = [(value) => Number.isFinite(value) && (value as number) >= 0, 'a number that is not negative'];
export const kSignal: Rule = [(value) => isObject(value) && 'aborted' in value && isFunction(value['addEventListener']), 'an AbortSignal']; // of any realm
export const whole = (least: number, most: number, words: string): Rule => [(value) => isWhole(value, least, most), words];
export const oneOf = (values: readonly string[]): Rule => [(value) => values.includes(value as string), values.map((value) => `'${value}'`).join(' or ')];

/** A value for a message, short but recognisable. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return 'a function';
  if (!isObject(value)) return String(value);
  const kind = (value.constructor as { name?: string } | undefined)?.name ?? 'Object';
  return kind === 'Object' ? `{ ${Object.keys(value).slice(0, 6).join(', ')} }` : `${/^[AEIO]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

const kNamesShown = 8;
export const quoted = (names: readonly string[]): string => names.slice(0, kNamesShown).map((n) => `"${n}"`).join(', ') + (names.length > kNamesShown ? ', …' : '');

/** How many letters must change to turn one into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min((next[j - 1] as number) + 1, (row[j] as number) + 1, (row[j - 1] as number) + Number(a[i - 1] !== b[j - 1]));
    row = next;
  }
  return row[b.length] as number;
}

/** `did you mean "threads"? `, or nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  const wrong = name.toLowerCase();
  const far = (other: string): number => (other.length > 3 && wrong.includes(other) ? 1 : distance(wrong, other));
  const [nearest] = known.map((each) => [far(each.toLowerCase()), each] as const).sort(([a], [b]) => a - b);
  return nearest && nearest[0] <= Math.max(1, name.length / 3) ? `did you mean "${nearest[1]}"? ` : '';
}

/**
 * Refuses a value that is no object, that has unknown names, or that has values which break their rule. `what` is the object's name, empty
 * at the top.
 */
export function check<T>(what: string, given: unknown, rules: Rules<T>): void {
  if (!isObject(given)) throw new KilnError('bad-option', `${what || 'what follows the first argument'} must be an object, not ${shown(given)}`, { where: what });
  for (const [name, value] of Object.entries(given)) {
    const where = what ? `${what}.${name}` : name;
    const known = Object.keys(rules);
    if (!known.includes(name)) throw new KilnError('bad-option', `there is no option "${where}": ${suggestion(name, known)}There are ${known.join(', ')}`, { where });
    const [test, words] = rules[name as keyof T];
    if (value !== undefined && !test(value)) throw new KilnError('bad-option', `${where} must be ${words}, not ${shown(value)}`, { where });
  }
}
