import type * as Fs from 'node:fs/promises';
import { asKilnError, KilnError } from '../shared/errors.js';
import { answerOf } from '../shared/fetching.js';
import type { CompilerSource } from '../shared/messages.js';
import { isNode, nodeModule } from '../shared/node.js';

async function moduleOf(source: CompilerSource, stallTimeoutMs: number): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source !== 'string') return WebAssembly.compile(source);
  if (isNode && source.startsWith('file:')) return WebAssembly.compile(await nodeModule<typeof Fs>('fs/promises').readFile(new URL(source)));
  const response = await answerOf(source, stallTimeoutMs);
  if (!response.ok) throw new KilnError('network', `the compiler at ${source} answered ${response.status}: serve the files of wasmkiln's dist together`);
  if (response.headers.get('content-type')?.startsWith('text/html'))
    throw new KilnError('network', `${source} is a page, not the compiler: compiler.wasm and worker.js belong beside the script that holds wasmkiln (Vite before version 8 needs optimizeDeps: { exclude: ['wasmkiln'] })`);
  if (response.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Fetches and compiles the compiler, off this thread, while the workers start. */
export async function compilerModule(source: CompilerSource, stallTimeoutMs: number): Promise<WebAssembly.Module> {
  try {
    return await moduleOf(source, stallTimeoutMs);
  } catch (thrown) {
    throw asKilnError(thrown, 'compile', 'the compiler could not be started');
  }
}
