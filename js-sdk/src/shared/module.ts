import { asKilnError } from './errors.js';

/**
 * A module, or its bytes if the receiving thread may not take a module. Workers of a sandboxed frame have no origin, so each is foreign to
 * the others.
 */
export type Code = WebAssembly.Module | Uint8Array<ArrayBuffer>;

/** Whether this is a sandboxed frame, or one of its workers. */
export const isSandboxed = (): boolean => globalThis.origin === 'null';

/** Compiles what the compiler has emitted. */
export async function moduleOf(code: Code): Promise<WebAssembly.Module> {
  if (code instanceof WebAssembly.Module) return code;
  try {
    return await WebAssembly.compile(code);
  } catch (thrown) {
    throw asKilnError(thrown, 'compile', "the engine refuses the model's module");
  }
}

/** What another worker gets to make the module. */
export const codeFor = (bytes: Uint8Array<ArrayBuffer>): Code | Promise<Code> => (isSandboxed() ? bytes : moduleOf(bytes));

const kEmptyModule = [0, 97, 115, 109, 1, 0, 0, 0];

/**
 * Throws where nothing may be compiled, before anything is fetched: workerd takes only modules that are deployed with its scripts. A page's
 * own policy says nothing, as its workers have theirs.
 */
export async function mayCompile(): Promise<void> {
  if (typeof Worker === 'undefined') await moduleOf(new Uint8Array(kEmptyModule));
}
