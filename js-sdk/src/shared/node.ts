/** True in Node (and its worker threads). */
export const isNode = typeof process !== 'undefined' && typeof process.versions?.node === 'string' && typeof process.getBuiltinModule === 'function';

/** A module of Node, without an import that a bundler for the web would follow. */
export function nodeModule<T>(name: string): T {
  return process.getBuiltinModule(`node:${name}`) as T;
}
