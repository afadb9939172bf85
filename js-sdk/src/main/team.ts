// The workers of one model, or the same roles in this thread if there are no workers.
import type * as WorkerThreads from 'node:worker_threads';
import { Channel, type Handlers, type Port } from '../shared/channel.js';
import { describe, KilnError, toPlain } from '../shared/errors.js';
import { within } from '../shared/fetching.js';
import { localPorts } from '../shared/local_port.js';
import type { CompilerCode, CompilerKind, CompilerMessage, HostCalls, HostEvents, LoadRequest, LoadResult, MainCalls, RoleMessage } from '../shared/messages.js';
import { isSandboxed } from '../shared/module.js';
import { isNode, nodeModule } from '../shared/node.js';

/** How long threads have to leave the model's memory, in which they sleep. A browser takes seconds to end a sleeping thread. */
const kLeaveMs = 100;
const stalled = (what: string, ms: number): KilnError => new KilnError('stalled', `${what} was not there after ${ms / 1000} s; try again, or raise stallTimeoutMs`, { where: what });

/** By then a worker has read its script. */
const kReleaseMs = 60_000;
/** How long the host may take to cache a model that is disposed of. */
const kLastMs = 3000;

/**
 * The place of a role. Its `port` is the worker itself. Between message ports an engine may send messages through another process and copy
 * what is transferred; Firefox does.
 */
interface Seat {
  readonly port: Port;
  terminate(): void;
}

/** From build.js. */
declare const __KILN_WORKER__: string;

/** Bundlers copy a file that is named like this. Inside `new Worker(…)` they would bundle it again, for each such place. */
export const workerUrl = (): URL => new URL(__KILN_WORKER__, import.meta.url);

type Crash = (error: KilnError) => void;
const crashed = (cause: unknown): KilnError => new KilnError('internal', `a worker of the model crashed: ${describe(cause)}; load the model again`, { cause });

function nodeSeat(crash: Crash): Seat {
  const { Worker } = nodeModule<typeof WorkerThreads>('worker_threads');
  const worker = new Worker(workerUrl());
  let ended = false;
  const port: Port = {
    onmessage: null,
    postMessage: (message, transfer) => worker.postMessage(message, transfer as WorkerThreads.Transferable[]),
    ref: () => worker.ref(),
    unref: () => worker.unref(),
  };
  worker.on('message', (data: unknown) => port.onmessage?.({ data } as MessageEvent));
  worker.on('error', (error) => crash(crashed(error)));
  worker.on('exit', (status) => status !== 0 && !ended && crash(crashed(`it has exited with ${status}`)));
  worker.unref();
  return {
    port,
    terminate: () => {
      ended = true;
      void worker.terminate();
    },
  };
}

/** Some schemes have no origin in the URL standard (extensions, apps). They are compared by host. */
const isOwn = ({ origin, protocol, host }: URL): boolean => (origin === 'null' ? protocol === location.protocol && host === location.host : origin === globalThis.origin);

/** In WebKit, of several workers that start at the same time from one address, only the first reaches the page's service worker. */
const mayPassBy = (): boolean => Boolean(navigator.serviceWorker?.controller) && navigator.vendor.startsWith('Apple');

const started = (address: string | URL, name: string): Worker => new Worker(address, { type: 'module', name: `wasmkiln ${name}` });

/**
 * A script of another origin starts only through a small script of our own. A blob: has the page's origin, its storage and its service
 * worker. In a sandboxed frame even its own server is another origin, it has none of these, and engines treat its blob:s differently.
 */
function starting(script: URL, name: string): Worker {
  const starter = `import ${JSON.stringify(script.href)};`;
  if (isSandboxed()) return started(`data:text/javascript,${encodeURIComponent(starter)}`, name);
  const address = URL.createObjectURL(new Blob([starter], { type: 'text/javascript' }));
  setTimeout(() => URL.revokeObjectURL(address), kReleaseMs);
  return started(address, name);
}

function browserWorker(name: string): Worker {
  const script = workerUrl();
  if (!isOwn(script)) return starting(script, name);
  if (!mayPassBy()) return started(script, name);
  try {
    return starting(script, name);
  } catch {
    return started(script, name); // a policy forbids blob:s, and not workers
  }
}

function browserSeat(name: string, crash: Crash): Seat {
  const worker = browserWorker(name);
  worker.onerror = (event) => {
    event.preventDefault();
    crash(crashed(event.message || 'it could not be started'));
  };
  return {
    port: worker,
    terminate: () => {
      worker.onerror = null;
      worker.terminate();
    },
  };
}

async function localSeat(): Promise<Seat> {
  const { takeSeat } = await import('../roles.js').catch((thrown: unknown) => {
    if (typeof Worker === 'undefined') throw new KilnError('unsupported-environment', `this context can neither start workers nor import scripts (${describe(thrown)}): load the model in a page or one of its workers`, { cause: thrown });
    throw new KilnError('network', `roles.js cannot be loaded (${describe(thrown)}): serve the files of wasmkiln's dist together`, { cause: thrown });
  });
  const [port, end] = localPorts();
  takeSeat(end, 'never');
  return { port, terminate: () => port.close?.() };
}

export interface TeamOptions {
  threads: number;
  workers: boolean;
  stallTimeoutMs: number;
  /** What goes to the compiler's worker when the workers have started, and is not there any more. Those that nobody needs do not come. */
  compilers: Record<CompilerKind, Promise<CompilerCode>>;
  /** The request for the load. It is sent as soon as the host listens. */
  request: () => LoadRequest;
  answers: Handlers<MainCalls>;
  onEvent: <K extends keyof HostEvents>(name: K, data: HostEvents[K]) => void;
  onCrash: Crash;
}

/** Whether every worker comes, and none dies while the team is together. */
class Watch {
  private readonly absent_ = new Set<Seat>();
  private readonly timer_: ReturnType<typeof setTimeout>;
  private ended_ = false;

  constructor(
    private readonly crash_: Crash,
    stallTimeoutMs: number,
  ) {
    this.timer_ = setTimeout(() => this.crash(stalled(__KILN_WORKER__, stallTimeoutMs)), stallTimeoutMs);
    (this.timer_ as { unref?: () => void }).unref?.();
  }

  readonly crash: Crash = (error) => {
    if (!this.ended_) this.crash_(error);
  };

  /** Its first message says that it is here. */
  expect(seat: Seat): void {
    this.absent_.add(seat);
    if (seat.port.onmessage) return;
    seat.port.onmessage = () => this.arrived(seat);
    seat.port.unref?.();
  }

  arrived(seat: Seat): void {
    this.absent_.delete(seat);
    if (this.absent_.size === 0) clearTimeout(this.timer_);
  }

  end(): void {
    this.ended_ = true;
    clearTimeout(this.timer_);
  }
}

export class Team {
  private constructor(
    readonly host: Channel<HostCalls, MainCalls, HostEvents>,
    readonly loading: Promise<LoadResult>,
    private compiler_: Seat | null,
    private readonly seats_: Seat[],
    private readonly local_ports_: MessagePort[],
    private readonly watch_: Watch,
  ) {}

  /** Resolves when the host has answered; rejects when the workers cannot be started. */
  static async gather(options: TeamOptions): Promise<Team> {
    let refuse: Crash = options.onCrash;
    let greeted = false;
    let greet: () => void;
    const greeting = new Promise<void>((resolve, reject) => {
      greet = () => {
        greeted = true;
        resolve();
      };
      refuse = reject;
    });
    greeting.catch(() => undefined);
    for (const coming of Object.values(options.compilers)) coming.catch(() => undefined); // the compiler's worker tells whoever asks it
    const watch = new Watch((error) => (greeted ? options.onCrash(error) : refuse(error)), options.stallTimeoutMs);
    const { crash } = watch;
    const seat = async (name: string): Promise<Seat> => (!options.workers ? within(options.stallTimeoutMs, localSeat(), () => stalled('roles.js', options.stallTimeoutMs)) : isNode ? nodeSeat(crash) : browserSeat(name, crash));

    const compiler = new MessageChannel();
    const compute = Array.from({ length: options.threads - 1 }, () => new MessageChannel());
    const seats: Seat[] = []; // the compiler's first: until the host has the head of a file, its module is to be there
    const ports = [compiler, ...compute].flatMap(({ port1, port2 }) => [port1, port2]);
    try {
      for (const name of ['compiler', 'host', ...compute.map((_, i) => `compute-${i + 1}`)]) seats.push(await seat(name));
      const [compilerSeat, hostSeat, ...computeSeats] = seats as [Seat, Seat, ...Seat[]];
      const assign = ({ port }: Seat, message: RoleMessage, transfer: MessagePort[]): void => port.postMessage(message, transfer);
      const hostPorts = compute.map(({ port1 }) => port1);
      assign(compilerSeat, { role: 'compiler', host: compiler.port2 }, [compiler.port2]);
      assign(hostSeat, { role: 'host', compiler: compiler.port1, compute: hostPorts }, [compiler.port1, ...hostPorts]);
      computeSeats.forEach((each, i) => assign(each, { role: 'compute', host: (compute[i] as MessageChannel).port2 }, [(compute[i] as MessageChannel).port2]));
      const host = new Channel<HostCalls, MainCalls, HostEvents>(hostSeat.port, options.answers, 'pending', (name, data) => {
        if (name === 'ready') {
          greet();
          watch.arrived(hostSeat);
        } else options.onEvent(name, data);
      });
      seats.forEach((each) => watch.expect(each)); // but the host's, whose messages the channel takes
      for (const [kind, coming] of Object.entries(options.compilers) as [CompilerKind, Promise<CompilerCode>][]) {
        const give = (code: CompilerMessage['code']): void => compilerSeat.port.postMessage({ kind, code } satisfies CompilerMessage, code instanceof ArrayBuffer ? [code] : []);
        void Promise.all([coming, greeting]).then(([code]) => give(code), (thrown: unknown) => give(toPlain(thrown)));
      }
      const loading = host.call('load', options.request());
      loading.catch(() => undefined); // that the host cannot be started is said by the greeting
      await greeting;
      return new Team(host, loading, compilerSeat, [hostSeat, ...computeSeats], options.workers ? [] : ports, watch);
    } catch (thrown) {
      watch.end();
      for (const each of seats) each.terminate();
      for (const port of ports) port.close();
      throw thrown;
    }
  }

  /** The compiler has done its work. Frees its memory. */
  releaseCompiler(): void {
    if (this.compiler_) this.watch_.arrived(this.compiler_); // or it need not come any more
    this.compiler_?.terminate();
    this.compiler_ = null;
  }

  /** Ends every worker, whatever it is doing, and rejects all calls that wait for an answer. The host may do one `last` thing before. */
  terminate(error: KilnError, last: (() => Promise<unknown>) | null = null): void {
    this.watch_.end();
    this.host.emit('leave', null);
    if (last) {
      const late = new Promise((resolve) => setTimeout(resolve, kLastMs));
      void Promise.race([last(), late]).finally(() => this.terminate(error));
      return;
    }
    this.host.close(error);
    for (const port of this.local_ports_) port.close();
    const end = (): void => {
      this.releaseCompiler();
      for (const seat of this.seats_) seat.terminate();
    };
    (setTimeout(end, kLeaveMs) as { unref?: () => void }).unref?.();
  }
}
