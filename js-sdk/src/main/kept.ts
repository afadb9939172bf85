import { isNode } from '../shared/node.js';

const kItem = 'wasmkiln-kept';

/** Whether this origin may have a cache. Looking into an empty one takes some 20 ms of a first visit. */
export function mayBeKept(): boolean {
  try {
    return !isNode && (globalThis.localStorage === undefined || localStorage.getItem(kItem) !== null);
  } catch {
    return true; // a page that must not use its storage
  }
}

export function noteKept(): void {
  try {
    if (!isNode) globalThis.localStorage?.setItem(kItem, '1');
  } catch {
    // then the next visit compiles again
  }
}
