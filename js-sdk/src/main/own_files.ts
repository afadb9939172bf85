import { asKilnError, KilnError } from '../shared/errors.js';
import { answerOf, type Answer } from '../shared/fetching.js';

/** A file of this SDK. */
export async function fetchOwn(address: string, stallTimeoutMs: number): Promise<Answer> {
  const answer = await answerOf(address, stallTimeoutMs).catch((thrown: unknown) => {
    throw asKilnError(thrown, 'network', `${address} cannot be fetched`);
  });
  const { response, leave } = answer;
  const refuse = (message: string): never => {
    leave();
    throw new KilnError('network', message, { where: address });
  };
  if (!response.ok) refuse(`${address} answered ${response.status}: serve the files of wasmkiln's dist together`);
  if (response.headers.get('content-type')?.startsWith('text/html'))
    refuse(`${address} is a page: compiler.wasm and worker.js belong beside the script that holds wasmkiln (Vite before version 8 needs optimizeDeps: { exclude: ['wasmkiln'] })`);
  return answer;
}
