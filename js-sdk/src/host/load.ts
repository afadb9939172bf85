// The load, top to bottom: head → compiler → memory → threads, while weights arrive.
import type { Channel } from '../shared/channel.js';
import { KilnError } from '../shared/errors.js';
import { looksLikeOnnx, weightsBeginOf } from '../shared/formats.js';
import { parseManifest, type Manifest } from '../shared/manifest.js';
import { createMemory, kBase, patiently } from '../shared/memory.js';
import { moduleOf } from '../shared/module.js';
import { Timeline } from '../shared/timeline.js';
import { compilerOf, type CancelHandle, type CompileResult, type CompilerCalls, type CompilerEvents, type CompilerKind, type CompileSettings, type ComputeCalls, type Landed, type LoadRequest, type LoadResult, type MainCalls, type Timings, type WisdomTexts } from '../shared/messages.js';
import { Arrivals, type AheadHelper } from './arrivals.js';
import { Cache, type Helpers, type Key } from './cache.js';
import { Digest } from './digest.js';
import { earlyMemory, earlyPlace, Landing, landsAnyway } from './landing.js';
import { Loader } from './loader.js';
import { openOnnx } from './onnx.js';
import { kBufferBytes, Prefetcher } from './prefetch.js';
import { imageIn, Session } from './session.js';
import { openSource } from './source.js';
import { Checksums, digestsIn, insist, Sha256, Verifier } from './verify.js';
import type { WeightWriter } from './weights.js';

const kStartBytes = 16;
const kMostPeeked = 64 << 20;
/** How much is read ahead before it is known whether the weights are needed. */
const kHeadAhead = 4 << 20;
const kProgressMs = 50;
/** The host restores fewer bytes than this before a helper could open the file. */
const kWorthHelp = 16 << 20;

export interface Peers {
  main: Channel<MainCalls>;
  compiler: Channel<CompilerCalls, object, CompilerEvents>;
  compute: Channel<ComputeCalls>[];
}

/** A model that can be run, and how to keep it for the next visit (null: there is no need, or no place). */
export interface Loaded {
  session: Session;
  arrivals: Arrivals;
  result: LoadResult;
  landed: Promise<Landed>;
  keep: ((wisdom: WisdomTexts) => Promise<void>) | null;
}

interface Ready {
  session: Session;
  compiled: CompileResult;
  arrivals: Arrivals;
  /** Milliseconds of packing. Valid when all weights are there. */
  initMs: () => number;
}

export async function load(asked: LoadRequest, peers: Peers): Promise<Loaded> {
  let request = asked;
  const timeline = new Timeline(request.began);
  timeline.add('workers', 0);
  const answering = timeline.during('response', () => openSource(request.source, request.stallTimeoutMs, () => peers.main.call('pull', null)));
  answering.catch(() => undefined); // thrown again below
  const begin = timeline.now();
  let compilerReadyMs = 0;
  void timeline.during('compiler', () => peers.compiler.call('ready', null)).then(() => (compilerReadyMs = timeline.now() - begin), () => undefined);
  const wisdom = peers.main.call('wisdom', null);
  wisdom.catch(() => undefined);
  const build = Cache.possible ? request.build : null;
  const digest = Digest.create();
  digest.catch(() => undefined); // reported to whoever asks first
  const opening = build !== null && request.mayBeKept ? Cache.open(digest, request.stallTimeoutMs) : null; // takes longer than a download's head
  const source = await answering;
  const progress = new Progress(source.size, peers.main);
  const download = new Prefetcher(source, request.stallTimeoutMs, (received) => progress.reached(received), opening ? kHeadAhead : kBufferBytes);
  let stream = download;
  const cancelAll = (): void => {
    stream.cancel();
    download.cancel();
  };
  void timeline.during('download', () => download.done);
  try {
    const kilnHead = await takeHead(stream);
    let head = kilnHead;
    const format = !head && (await startsAsOnnx(stream)) ? 'onnx' : 'kiln';
    if (format === 'onnx') {
      peers.main.emit('needs', compilerOf(format));
      const { skeleton, weights } = await openOnnx(download, request.integrity, (skeleton, fileBytes) => timeline.during('head', () => peers.compiler.call('pieces', { skeleton, fileBytes })));
      progress.expect(download.received);
      head = skeleton;
      stream = new Prefetcher(weights, request.stallTimeoutMs, () => undefined, kHeadAhead);
      request = { ...request, verify: false, integrity: null }; // its weights have no hashes
    } else if (head && request.integrity) await insist(request.integrity, head, source.name);
    const key = kilnHead && build !== null ? (texts: WisdomTexts, settings = request.compile): Promise<Key> => Cache.key(build, trusted(asked), kilnHead, settings, texts) : null;
    const found = opening && key && (await timeline.during('cache', async () => fromCache(await opening, key, await wisdom, request, peers, timeline)));
    if (found) {
      peers.main.emit('measured', 0);
      peers.main.emit('compilerDone', null);
    } else download.readAhead(kBufferBytes);
    const ready = found ?? (await fromNetwork(compilerOf(format), head, stream, progress, request, peers, wisdom, await digest, timeline));
    const { session, compiled, arrivals } = ready;
    await timeline.during('threads', () => startThreads(session, compiled.memory64, peers.compute));
    const landed = arrivals.landed.then((): Landed => {
      const all = timeline.now() - begin;
      const timings = { ...timingsOf(compiled), compilerReadyMs, downloadMs: all, totalMs: all, initMs: ready.initMs() };
      return { downloadedBytes: download.received, timings, phases: [...timeline.phases, ...compiled.phases] };
    });
    landed.finally(() => cancelAll()).catch(() => undefined); // thrown to whoever asks for it
    const result = summarize(ready, request);
    const keep = key && !found && request.verify ? async (texts: WisdomTexts): Promise<void> => keepIn(await (opening ?? Cache.open(digest, request.stallTimeoutMs)), await key(texts), session, compiled) : null;
    result.cache = found ? 'hit' : keep ? 'miss' : 'none';
    return { session, arrivals, result, landed, keep };
  } catch (thrown) {
    cancelAll();
    throw thrown;
  }
}

/** The head of a .kiln file, whose size stands in front; null, and everything stays in the stream, when these bytes are none. */
async function takeHead(stream: Prefetcher): Promise<Uint8Array<ArrayBuffer> | null> {
  const start = await stream.take(kStartBytes);
  stream.unread(start);
  if (start.length < kStartBytes || new TextDecoder('latin1').decode(start.subarray(8, 12)) !== 'KILN') return null;
  const bytes = 4 + new DataView(start.buffer).getUint32(0, true);
  if (bytes < kStartBytes || bytes > kMostPeeked) return null;
  const head = await stream.take(bytes);
  if (head.length === bytes) return head;
  stream.unread(head);
  return null;
}

/** Leaves everything in the stream. */
async function startsAsOnnx(stream: Prefetcher): Promise<boolean> {
  const start = await stream.take(kStartBytes);
  stream.unread(start);
  return looksLikeOnnx(start);
}

/** Why weights of this head are believed: a page insists on it and with that on them, or they come from the same place and are not damaged. */
function trusted({ integrity, source }: LoadRequest): string {
  if (integrity) return 'integrity';
  const { origin, pathname } = new URL(source.kind === 'url' ? source.url : '');
  return origin + pathname;
}

async function keepIn(cache: Cache | null, key: Key, session: Session, compiled: CompileResult): Promise<void> {
  if (!cache) throw new Error('there is no private file system here');
  await cache.keep(key, compiled, session.image);
}

/** An entry of a load that measured also serves a load that does not. */
async function fromCache(cache: Cache | null, key: (texts: WisdomTexts, settings?: CompileSettings) => Promise<Key>, wisdom: WisdomTexts, request: LoadRequest, peers: Peers, timeline: Timeline): Promise<Ready | null> {
  if (!cache) return null;
  const own = await restored(cache, await key(wisdom), request, peers, timeline);
  return own || request.compile.budgetMs > 0 ? own : restored(cache, await key(wisdom, { ...request.compile, budgetMs: 1 }), request, peers, timeline);
}

async function restored(cache: Cache, key: Key, request: LoadRequest, peers: Peers, timeline: Timeline): Promise<Ready | null> {
  const entry = await timeline.during('find', () => cache.find(key));
  if (!entry) return null;
  try {
    const { compiled } = entry;
    const manifest = parseManifest(compiled.manifest);
    const code = timeline.during('compile', () => moduleOf(compiled.module)); // by the engine, beside this thread
    code.catch(() => undefined); // thrown again when the weights are in place
    const memory = await memoryFor(manifest, compiled.memory64, request);
    if (await timeline.during('restore', () => entry.restore(imageIn(memory, manifest), request.compile.shared && entry.imageBytes >= kWorthHelp ? idle(peers) : null))) {
      entry.close();
      void cache.touch(key);
      const session = new Session(await code, manifest, request.compile.threads, memory, compiled.memory64);
      return { session, compiled, arrivals: new Arrivals(manifest, Promise.resolve(), null), initMs: () => 0 };
    }
  } catch {
    // then as if there were none
  }
  return cache.drop(key, entry);
}

/** The idle helpers while weights are restored: the other threads or, without them, the compiler's worker, which is not needed. */
function idle({ compute, compiler }: Peers): Helpers {
  return (part) => (compute.length > 0 ? Promise.allSettled(compute.map((channel) => channel.call('restore', part))) : compiler.call('restore', part).catch(() => null));
}

async function fromNetwork(
  compiler: CompilerKind, kilnHead: Uint8Array<ArrayBuffer> | null, stream: Prefetcher, progress: Progress, request: LoadRequest, peers: Peers, wisdom: Promise<WisdomTexts>, digest: Digest, timeline: Timeline): Promise<Ready> {
  peers.main.emit('needs', compiler);
  const { head, weightsBegin } = kilnHead
    ? { head: kilnHead.slice(), weightsBegin: weightsBeginOf(kilnHead) }
    : await timeline.during('head', () => readHead(stream, peers.compiler));
  if (!kilnHead && request.integrity) await insist(request.integrity, head, stream.source.name);
  const fileBytes = stream.source.size ?? -1;
  const padding = weightsBegin - head.length;
  const planning = peers.compiler.call('plan', { compiler, head, fileBytes, settings: request.compile, began: request.began }, [head.buffer]);
  planning.then(({ fileWeightsBytes }) => progress.expect(weightsBegin + fileWeightsBytes), () => undefined); // what is thrown is thrown again below
  peers.main.emit('progress', { stage: 'compile' });
  await stream.take(padding);
  const verifier = request.verify ? new Verifier(request.integrity ? new Sha256() : new Checksums(digest), stream.source.name) : null;
  if (verifier) stream.inspect((chunk) => verifier.add(chunk)); // while the compiler works
  const weightsBytes = fileBytes - weightsBegin;
  const fileAt = earlyPlace(weightsBytes);
  const early = fileAt ? earlyMemory(fileAt, weightsBytes, request.compile.shared) : null;
  const room = early ? landsAnyway(weightsBytes) : 0;
  const landing = new Landing(stream, early ? new Uint8Array(early.buffer, kBase + fileAt, weightsBytes) : new Uint8Array(0), room);
  let writer: WeightWriter | null = null;
  const reading = timeline.during('weights', () => landing.read(() => writer !== null && writer.complete && verifier?.complete !== false));
  reading.catch(() => undefined); // thrown again when the compiler has answered
  const laying = peers.compiler.call('layOut', { fileAt: early ? fileAt : 0, landed: room, wisdom: await wisdom });
  laying.catch(() => undefined); // for the same reason as planning
  const emitting = peers.compiler.call('emit', null); // while the weights are packed
  emitting.catch(() => undefined); // for the same reason
  const { overFile, fileWeightsBytes, digests } = await planning;
  if (overFile) landing.extend();
  if (request.integrity) verifier?.expect({ weightsBytes: fileWeightsBytes, blockHashes: digestsIn(digests) });
  const { loadCode, ...laid } = await laying;
  const manifest = parseManifest(laid.manifest);
  peers.main.emit('measured', manifest.kernels.filter(({ origin }) => origin === 'measured').length);
  const fits = early && manifest.memory.file === fileAt && kBase + manifest.memory.total <= early.buffer.byteLength;
  const memory = fits ? early : await memoryFor(manifest, laid.memory64, request);
  const loader = await timeline.during('prepare', async () => new Loader(await moduleOf(loadCode), manifest, memory, laid.memory64));
  loader.begin();
  if (!request.integrity) verifier?.expect(manifest);
  const landed = reading.then(() => {
    writer?.end(stream.source.name);
    return verifier?.end();
  });
  const helper = request.runWhileLoading && request.compile.shared ? aheadHelper(peers, laid.memory64) : null;
  const arrivals = new Arrivals(manifest, landed, helper);
  void Promise.all([emitting, helper && arrivals.settled]).then(() => peers.main.emit('compilerDone', null), () => undefined);
  writer = loader.writer((transfers) => arrivals.reach(transfers));
  landing.pass(writer);
  const { code, ...emitted } = await Promise.race([emitting, landed.then(() => emitting)]); // or it throws what `landed` does
  await arrivals.arenaIsFree();
  const session = new Session(await moduleOf(code), manifest, request.compile.threads, memory, laid.memory64);
  return { session, compiled: { ...laid, ...emitted }, arrivals, initMs: () => loader.initMs };
}

/** The compiler's worker. It has done its work before there is a session. */
function aheadHelper({ compiler }: Peers, memory64: boolean): AheadHelper {
  return ({ module, memory, control, manifest }, arrival) => compiler.call('runAhead', { module, memory, memory64, base: kBase, control, needs: manifest.stepNeeds, arrival });
}

/** Tells the page how far the download is, at most every kProgressMs and at its end. */
class Progress {
  private last_ = -Infinity;
  private loaded_ = 0;

  constructor(
    private total_: number | undefined,
    private readonly main_: Peers['main'],
  ) {}

  reached(loadedBytes: number): void {
    this.loaded_ = loadedBytes;
    const now = performance.now();
    if (now - this.last_ < kProgressMs && loadedBytes !== this.total_) return;
    this.last_ = now;
    this.tell();
  }

  /** If the server did not say the size, the head of the file does. */
  expect(totalBytes: number): void {
    if (this.total_ !== undefined) return;
    this.total_ = totalBytes;
    this.tell();
  }

  private tell(): void {
    this.main_.emit('progress', { stage: 'download', loadedBytes: this.loaded_, totalBytes: this.total_ });
  }
}

async function readHead(stream: Prefetcher, compiler: Peers['compiler']): Promise<{ head: Uint8Array<ArrayBuffer>; weightsBegin: number }> {
  const start = await stream.take(kStartBytes);
  const { name } = stream.source;
  const text = new TextDecoder('latin1').decode(start).trimStart();
  if (text.startsWith('<')) {
    throw new KilnError('bad-file', `${name} is an HTML or XML page, not a model: check the address (some servers answer every unknown path with their index page)`, { where: 'byte 0' });
  }
  if (text.startsWith('version https://')) throw new KilnError('bad-file', `${name} is a Git LFS pointer, not a model: run git lfs pull`, { where: 'byte 0' });
  if (start.length < kStartBytes) throw new KilnError('bad-file', `${name} has ${start.length} bytes: that is no model`, { where: 'byte 0' });
  const { headBytes, weightsBegin } = await compiler.call('headLayout', start);
  if (stream.source.size !== undefined && headBytes > stream.source.size) {
    throw new KilnError('bad-file', `${name} is truncated or damaged: its graph takes ${headBytes} bytes, the file has ${stream.source.size}`, { where: 'byte 0' });
  }
  stream.unread(start);
  const head = await stream.take(headBytes);
  if (head.length < headBytes) throw new KilnError('bad-file', `${name} is truncated within its graph, at byte ${head.length} of ${headBytes}; download it again`, { where: `byte ${head.length}` });
  return { head, weightsBegin };
}

function memoryFor(manifest: Manifest, memory64: boolean, request: LoadRequest): Promise<WebAssembly.Memory> {
  const { shared } = request.compile;
  return patiently(() => createMemory(kBase + manifest.memory.total, { shared, memory64 }));
}

async function startThreads(session: Session, memory64: boolean, compute: Channel<ComputeCalls>[]): Promise<void> {
  const { module, memory, control, threads } = session;
  await Promise.all(compute.map((channel, i) => channel.call('start', { module, memory, base: kBase, control, thread: i + 1, threads, memory64 })));
}

function timingsOf({ phases }: CompileResult): Pick<Timings, 'compileMs' | 'tuneMs'> {
  const spent = (...names: string[]): number => phases.filter(({ name }) => names.includes(name)).reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  return { compileMs: spent('plan', 'layout', 'describe', 'emit'), tuneMs: spent('tune') };
}

function summarize({ session, compiled }: Ready, request: LoadRequest): LoadResult {
  const { manifest } = session;
  const { weights, scratch, scratchStride, total } = manifest.memory;
  const gap = Math.max(0, weights - scratch - scratchStride * session.threads);
  const port = ({ name, dtype, shape, boundedAxis, sizedBy }: Manifest['outputs'][number]): LoadResult['outputs'][number] => ({
    name, dtype, shape, ...(boundedAxis !== undefined && sizedBy !== undefined && { boundedAxis, sizedBy }),
  });
  return {
    inputs: manifest.inputs.map(port),
    outputs: manifest.outputs.map(port),
    steps: manifest.steps,
    kernels: manifest.kernels,
    layout: manifest.memory,
    memoryBytes: total - gap,
    moduleBytes: compiled.module.length,
    memory64: compiled.memory64,
    cache: 'none',
    wisdom: compiled.wisdom,
    storedDropped: compiled.storedDropped,
    notes: compiled.notes,
    cancel: request.compile.shared ? cancelHandle(session) : null,
    mailbox: null,
  };
}

function cancelHandle({ memory, control }: Session): CancelHandle {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(memory);
  (port1 as { unref?: () => void }).unref?.();
  return { port: port2, address: control };
}
