// Calls and events over a MessagePort or a worker, the same in a page, a worker and Node.
import { fromPlain, KilnError, toPlain, type PlainError } from './errors.js';

type Callables<T> = Record<keyof T, (arg: never) => unknown>;
type Arg<F> = F extends (arg: infer A) => unknown ? A : never;
type Answer<F> = F extends (arg: never) => infer R ? Awaited<R> : never;

/** A handler's answer, together with the objects to transfer. */
export class Transferred<T> {
  constructor(
    readonly value: T,
    readonly transfer: Transferable[],
  ) {}
}

export type Handlers<T extends Callables<T>> = {
  [K in keyof T]: (arg: Arg<T[K]>) => Answer<T[K]> | Transferred<Answer<T[K]>> | Promise<Answer<T[K]> | Transferred<Answer<T[K]>>>;
};

type Message =
  | { kind: 'call'; id: number; name: string; arg: unknown }
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'error'; id: number; error: PlainError }
  | { kind: 'event'; name: string; data: unknown };

/** When an open port keeps a Node process or worker alive. Browsers do not need this. */
export type Hold = 'always' | 'pending' | 'never';

/** A MessagePort, a worker, or a worker's own global scope. There close() ends the worker. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
  close?(): void;
  /** Node's. */
  ref?(): void;
  unref?(): void;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: KilnError) => void;
}

/** Remote: calls that the other side answers. Local: calls that it may make here. Events: messages from it without an answer. */
export class Channel<Remote extends Callables<Remote>, Local extends Callables<Local> = object, Events extends object = object> {
  private next_ = 1;
  private readonly waiting_ = new Map<number, Waiting>();
  private holders_ = 0;
  private closed_: KilnError | null = null;

  constructor(
    private readonly port_: Port,
    private readonly handlers_: Handlers<Local>,
    private readonly hold_: Hold,
    private readonly on_event_: <K extends keyof Events & string>(name: K, data: Events[K]) => void = () => undefined,
  ) {
    port_.onmessage = ({ data }: MessageEvent<Message>) => this.receive(data);
    if (hold_ !== 'always') port_.unref?.();
  }

  call<K extends keyof Remote & string>(name: K, arg: Arg<Remote[K]>, transfer: Transferable[] = []): Promise<Answer<Remote[K]>> {
    if (this.closed_) return Promise.reject(this.closed_);
    const id = this.next_++;
    return new Promise((resolve, reject) => {
      this.retain();
      this.waiting_.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.post({ kind: 'call', id, name, arg }, transfer);
    });
  }

  emit(name: string, data: unknown, transfer: Transferable[] = []): void {
    this.post({ kind: 'event', name, data }, transfer);
  }

  /** Rejects all waiting calls, and later ones. */
  close(error: KilnError): void {
    if (this.closed_) return;
    this.closed_ = error;
    this.port_.onmessage = null;
    this.port_.close?.();
    for (const waiting of this.waiting_.values()) waiting.reject(error);
    this.waiting_.clear();
  }

  /** Keeps a Node process alive until `work` settles, as a call does. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.retain();
    try {
      return await work;
    } finally {
      this.release();
    }
  }

  private retain(): void {
    if (this.hold_ === 'pending' && this.holders_++ === 0) this.port_.ref?.();
  }

  private release(): void {
    if (this.hold_ === 'pending' && --this.holders_ === 0) this.port_.unref?.();
  }

  private post(message: Message, transfer: Transferable[]): void {
    if (!this.closed_) this.port_.postMessage(message, transfer);
  }

  private receive(message: Message): void {
    if (message.kind === 'event') {
      this.on_event_(message.name as keyof Events & string, message.data as Events[keyof Events & string]);
      return;
    }
    if (message.kind === 'call') {
      void this.answer(message.id, message.name, message.arg);
      return;
    }
    const waiting = this.waiting_.get(message.id);
    if (!waiting) return;
    this.waiting_.delete(message.id);
    this.release();
    if (message.kind === 'answer') waiting.resolve(message.value);
    else waiting.reject(fromPlain(message.error));
  }

  private async answer(id: number, name: string, arg: unknown): Promise<void> {
    try {
      const handler = this.handlers_[name as keyof Local] as ((arg: unknown) => unknown) | undefined;
      if (!handler) throw new KilnError('internal', `no handler for "${name}"`);
      const value = await handler(arg);
      if (value instanceof Transferred) this.post({ kind: 'answer', id, value: value.value as unknown }, value.transfer);
      else this.post({ kind: 'answer', id, value }, []);
    } catch (thrown) {
      this.post({ kind: 'error', id, error: toPlain(thrown) }, []);
    }
  }
}
