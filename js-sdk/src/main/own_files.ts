import { asKilnError, KilnError } from '../shared/errors.js';
import { answerOf } from '../shared/fetching.js';

/** A file of this SDK. */
export async function fetchOwn(address: string, stallTimeoutMs: number): Promise<Response> {
  const response = await answerOf(address, stallTimeoutMs).catch((thrown: unknown) => {
    throw asKilnError(thrown, 'network', `${address} cannot be fetched`);
  });
  if (!response.ok) throw new KilnError('network', `${address} answered ${response.status}: serve the files of wasmkiln's dist together`, { where: address });
  if (response.headers.get('content-type')?.startsWith('text/html'))
    throw new KilnError('network', `${address} is a page: compiler.wasm and worker.js belong beside the script that holds wasmkiln (Vite before version 8 needs optimizeDeps: { exclude: ['wasmkiln'] })`, { where: address });
  return response;
}
