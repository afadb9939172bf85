// A model's bytes from an address. A download that breaks off continues where it was, if the file is still the same.
import { describe, KilnError } from '../shared/errors.js';
import { answerOf, type Answer } from '../shared/fetching.js';
import { chunkReader, readerOf, type ByteSource, type Reader } from './reader.js';

/** How many attempts in a row to continue, after waits that double. */
const kTries = 6;
const kFirstWaitMs = 200;
/** After so many bytes the attempts count from zero again. */
const kForgivingBytes = 1 << 20;
/** Server errors that may be temporary. */
const kPassing = [408, 425, 429, 500, 502, 503, 504];

/** What identifies a file. Across origins a page sees only the date. */
interface Version {
  etag: string | null;
  modified: string | null;
}
const versionOf = ({ headers }: Response): Version => ({ etag: headers.get('etag') || null, modified: headers.get('last-modified') || null });
const isSame = (a: Version, b: Version): boolean => (a.etag !== null && b.etag !== null ? a.etag === b.etag : a.modified !== null && a.modified === b.modified);

async function ask(url: string, init: RequestInit, stallTimeoutMs: number): Promise<Answer> {
  try {
    return await answerOf(url, stallTimeoutMs, init);
  } catch (thrown) {
    if (thrown instanceof KilnError) throw thrown;
    throw new KilnError('network', `${url} cannot be fetched: check the address, the connection and the server's CORS headers`, { where: url, cause: thrown });
  }
}

const refusal = (url: string, { status, statusText }: Response): KilnError => new KilnError('network', `${url} answered ${status} ${statusText}`.trim(), { where: url });

export async function download(url: string, init: RequestInit, stallTimeoutMs: number): Promise<ByteSource> {
  const { response, leave } = await ask(url, init, stallTimeoutMs);
  if (!response.ok) {
    leave();
    throw refusal(url, response);
  }
  if (!response.body) throw new KilnError('network', `${url} answered with nothing`, { where: url });
  return new Download(url, init, stallTimeoutMs, response, response.body, leave);
}

class Download implements ByteSource {
  readonly size: number | undefined;
  private readonly version_: Version;
  private readonly encoded_: boolean; // its bytes are not those of the file
  private reader_: Reader;
  private position_ = 0;
  private skip_ = 0; // bytes that come again
  private tries_ = 0;
  private broke_at_ = 0;
  private cancelled_ = false;

  constructor(
    readonly name: string,
    private readonly init_: RequestInit,
    private readonly stallTimeoutMs_: number,
    response: Response,
    body: ReadableStream<Uint8Array<ArrayBuffer>>,
    private leave_: () => void,
  ) {
    const length = Number(response.headers.get('content-length') ?? NaN);
    this.encoded_ = response.headers.get('content-encoding') !== null;
    this.size = !this.encoded_ && Number.isSafeInteger(length) ? length : undefined;
    this.version_ = versionOf(response);
    this.reader_ = readerOf(body, this.size);
  }

  /** An empty chunk: a sign of life while known bytes arrive again. */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      try {
        const chunk = await this.reader_.read();
        if (chunk) return this.take(chunk);
        if (this.cancelled_ || this.size === undefined || this.position_ >= this.size) return null;
        throw new Error(`it ended ${this.size - this.position_} bytes early`);
      } catch (thrown) {
        if (this.cancelled_) return null;
        await this.goOn(thrown);
      }
    }
  }

  release(buffer: ArrayBufferLike): void {
    this.reader_.release?.(buffer);
  }

  cancel(): void {
    this.cancelled_ = true;
    this.reader_.cancel();
    this.leave_();
  }

  private take(chunk: Uint8Array): Uint8Array {
    const again = Math.min(this.skip_, chunk.length);
    this.skip_ -= again;
    this.position_ += chunk.length - again;
    return chunk.subarray(again);
  }

  private async goOn(cause: unknown): Promise<void> {
    if (this.position_ - this.broke_at_ >= kForgivingBytes) this.tries_ = 0;
    this.broke_at_ = this.position_;
    const known = this.version_.etag !== null || this.version_.modified !== null;
    if (!known || (this.init_.method ?? 'GET') !== 'GET' || this.init_.integrity) throw this.broken('; try again', cause);
    for (let why = cause; ; ) {
      if (this.tries_ === kTries) throw this.broken(`, and ${kTries} tries to go on failed (${describe(why)}); try again`, cause);
      await new Promise((resolve) => setTimeout(resolve, kFirstWaitMs * 2 ** this.tries_++));
      if (this.cancelled_) return;
      try {
        await this.reopen();
        return;
      } catch (thrown) {
        if (!(thrown instanceof Passing)) throw thrown;
        why = thrown.cause;
      }
    }
  }

  /** Asks for the rest or, if that is impossible, for everything. Temporary failures are thrown as Passing. */
  private async reopen(): Promise<void> {
    const { response, leave } = await ask(this.name, { ...this.init_, headers: this.headers() }, this.stallTimeoutMs_).catch((thrown: unknown) => {
      throw new Passing(thrown);
    });
    const { status, body } = response;
    const refuse = (error: Error): never => {
      leave();
      throw error;
    };
    if (kPassing.includes(status)) refuse(new Passing(refusal(this.name, response)));
    const begin = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]; // not to be seen across origins
    const elsewhere = status === 206 && begin !== undefined && Number(begin) !== this.position_;
    if (status === 416 || (response.ok && (elsewhere || !isSame(versionOf(response), this.version_)))) {
      refuse(new KilnError('network', `${this.name} has changed while it was downloaded; load it again`, { where: this.name }));
    }
    if (!response.ok || !body) return refuse(refusal(this.name, response));
    this.skip_ = status === 206 ? 0 : this.position_;
    this.reader_ = chunkReader(body); // a connection that breaks again and again brings the file all the same
    this.leave_ = leave;
    if (this.cancelled_) this.cancel();
  }

  private headers(): Headers {
    const headers = new Headers(this.init_.headers);
    if (this.encoded_) return headers;
    headers.set('Range', `bytes=${this.position_}-`);
    const { etag, modified } = this.version_;
    const strong = etag?.startsWith('W/') ? modified : (etag ?? modified);
    const here = globalThis.location?.origin ?? null; // another origin would have to be asked whether this header may be sent
    if (strong !== null && (here === null || here === new URL(this.name).origin)) headers.set('If-Range', strong);
    return headers;
  }

  private broken(what: string, cause: unknown): KilnError {
    return new KilnError('network', `the download of ${this.name} broke off after ${this.position_} bytes${what}`, { where: this.name, cause });
  }
}

class Passing extends Error {
  constructor(cause: unknown) {
    super('try again', { cause });
  }
}
