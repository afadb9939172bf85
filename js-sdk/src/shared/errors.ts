/** What went wrong, as a stable name. The first eight come from the compiler (support/result.h). */
export type KilnErrorCode =
  | 'bad-file'
  | 'unsupported-version'
  | 'unsupported-operator'
  | 'bad-input'
  | 'bad-option'
  | 'bad-wisdom'
  | 'out-of-memory'
  | 'internal'
  | 'disposed'
  | 'aborted'
  | 'network'
  | 'stalled'
  | 'compile'
  | 'unsupported-environment';

/** An error in a form that survives postMessage. */
export interface PlainError {
  code: KilnErrorCode;
  message: string;
  where: string;
  cause?: string;
}

/**
 * The one error that the SDK throws. `message` says what is wrong and what to do. `where` names the node, input or byte. If a signal has ended
 * the operation, the code is 'aborted', the `name` is 'AbortError' (or 'TimeoutError' after AbortSignal.timeout()), and the `cause` is the
 * signal's reason.
 */
export class KilnError extends Error {
  /** @internal So that it is called so in a page's console as well. */
  static override readonly name = 'KilnError';
  readonly code: KilnErrorCode;
  readonly where: string;

  constructor(code: KilnErrorCode, message: string, options: { where?: string; cause?: unknown } = {}) {
    super(printable(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code === 'aborted' ? abortName(options.cause) : 'KilnError';
    this.code = code;
    this.where = options.where ?? '';
  }
}

/** Names come from files, and messages go to terminals and logs: what is no letter and no line has no say there. */
export const printable = (text: string): string => text.replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${(sign.codePointAt(0) as number).toString(16)}}`);

const abortName = (reason: unknown): string => ((reason as Error | undefined)?.name === 'TimeoutError' ? 'TimeoutError' : 'AbortError');

export function describe(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

const kForbidden: [RegExp, string][] = [
  [/unsafe-eval|Content Security Policy/i, "the page's Content-Security-Policy forbids WebAssembly: add 'wasm-unsafe-eval' to script-src"],
  [/disallowed by embedder/i, 'this environment does not let WebAssembly be compiled, which is how models run here: load the model in a page, a worker of one, or Node'],
];

/** Engines say it in many ways: V8 and JavaScriptCore by a RangeError, SpiderMonkey by an InternalError or a mere string. */
const isRefusal = (thrown: unknown): boolean => (thrown instanceof RangeError || typeof thrown === 'string' || (thrown as Error | null)?.name === 'InternalError') && /memory|allocat/i.test(String(thrown));

/** Anything thrown, as a KilnError; an unknown throw gets `code` and `what` failed. */
export function asKilnError(thrown: unknown, code: KilnErrorCode, what: string): KilnError {
  if (thrown instanceof KilnError) return thrown;
  const forbidden = thrown instanceof WebAssembly.CompileError && kForbidden.find(([says]) => says.test(thrown.message));
  if (forbidden) return new KilnError('unsupported-environment', forbidden[1], { cause: thrown });
  if (isRefusal(thrown)) return new KilnError('out-of-memory', `${what}: the engine refuses memory (${describe(thrown)}); dispose of other models or close other tabs`, { cause: thrown });
  return new KilnError(code, `${what}: ${describe(thrown)}`, { cause: thrown });
}

export function toPlain(thrown: unknown): PlainError {
  const error = asKilnError(thrown, 'internal', 'unexpected failure');
  const plain: PlainError = { code: error.code, message: error.message, where: error.where };
  if (error.cause !== undefined) plain.cause = describe(error.cause);
  return plain;
}

export function fromPlain(plain: PlainError): KilnError {
  const options: { where: string; cause?: unknown } = { where: plain.where };
  if (plain.cause !== undefined) options.cause = plain.cause;
  return new KilnError(plain.code, plain.message, options);
}

export function aborted(signal: AbortSignal | undefined): KilnError {
  const error = new KilnError('aborted', 'the operation was aborted by its signal', { cause: signal?.reason });
  if (error.name === 'TimeoutError') error.message = 'the operation took longer than its signal allows';
  return error;
}
