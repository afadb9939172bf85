import type * as Fs from 'node:fs/promises';
import { asKilnError, KilnError } from '../shared/errors.js';
import { answerOf } from '../shared/fetching.js';
import type { CompilerCode, CompilerSource } from '../shared/messages.js';
import { isNode, nodeModule } from '../shared/node.js';

async function codeOf(source: CompilerSource, stallTimeoutMs: number): Promise<CompilerCode> {
  if (typeof source !== 'string') return source;
  if (isNode && source.startsWith('file:')) return nodeModule<typeof Fs>('fs/promises').readFile(new URL(source));
  const response = await answerOf(source, stallTimeoutMs);
  if (!response.ok) throw new KilnError('network', `the compiler at ${source} answered ${response.status}: serve the files of wasmkiln's dist together`);
  if (response.headers.get('content-type')?.startsWith('text/html'))
    throw new KilnError('network', `${source} is a page, not the compiler: compiler.wasm and worker.js belong beside the script that holds wasmkiln (Vite before version 8 needs optimizeDeps: { exclude: ['wasmkiln'] })`);
  return response.arrayBuffer();
}

/**
 * Fetches the compiler while the workers start. Its worker makes the module: in the page that would stay, with all code that the
 * engine makes of it, long after the worker has ended.
 */
export async function compilerCode(source: CompilerSource, stallTimeoutMs: number): Promise<CompilerCode> {
  try {
    return await codeOf(source, stallTimeoutMs);
  } catch (thrown) {
    throw asKilnError(thrown, 'compile', 'the compiler could not be started');
  }
}
