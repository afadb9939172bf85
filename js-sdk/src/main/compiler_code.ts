import type * as Fs from 'node:fs/promises';
import { asKilnError, KilnError } from '../shared/errors.js';
import { bodyOf } from '../shared/fetching.js';
import type { CompilerCode, CompilerSource } from '../shared/messages.js';
import { isSandboxed } from '../shared/module.js';
import { isNode, nodeModule } from '../shared/node.js';
import { fetchOwn } from './own_files.js';

async function codeOf(source: CompilerSource, stallTimeoutMs: number): Promise<CompilerCode> {
  if (source instanceof WebAssembly.Module && isSandboxed()) throw new KilnError('bad-option', 'a sandboxed frame cannot pass modules to its workers: give the address of compiler.wasm, or its bytes', { where: 'compiler' });
  if (typeof source !== 'string') return source;
  if (isNode && source.startsWith('file:')) return nodeModule<typeof Fs>('fs/promises').readFile(new URL(source));
  return (await bodyOf(await fetchOwn(source, stallTimeoutMs), source, stallTimeoutMs)).buffer;
}

/**
 * Fetches the compiler while the workers start. The compiler's worker makes the module. In the page, the module and its machine code would
 * stay long after the worker has ended.
 */
export async function compilerCode(source: CompilerSource, stallTimeoutMs: number): Promise<CompilerCode> {
  try {
    return await codeOf(source, stallTimeoutMs);
  } catch (thrown) {
    throw asKilnError(thrown, 'compile', 'the compiler could not be started');
  }
}
