import { asKilnError } from './errors.js';

/** Compiles what the compiler has emitted. */
export async function moduleOf(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (thrown) {
    throw asKilnError(thrown, 'compile', "the engine refuses the model's module");
  }
}
