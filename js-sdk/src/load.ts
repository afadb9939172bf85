import { aborted, asKilnError, describe, type KilnError } from './shared/errors.js';
import { mayCompile } from './shared/module.js';
import { sharedNow } from './shared/timeline.js';
import { compilerOf, type CompilerCode, type CompilerKind, type HostEvents, type LoadRequest, type LoadResult, type SourceMessage, type WisdomTexts } from './shared/messages.js';
import type { LoadOptions, ModelSource, WisdomStore } from './options.js';
import { mayBeKept, noteKept } from './main/kept.js';
import { compilerCode } from './main/compiler_code.js';
import { Absence } from './main/absence.js';
import { patientStore, teller } from './main/callbacks.js';
import { ModelCore } from './main/core.js';
import { Engine } from './main/engine.js';
import { gather } from './main/gather.js';
import { checkOptions, settle, type Settings } from './main/settings.js';
import { postable, type PostableSource } from './main/sources.js';
import { Team } from './main/team.js';
import { chooseStore, givenWisdom, mergeWisdom, remember } from './main/wisdom.js';
import { Model } from './model.js';

/** A run that comes at once has begun by then. */
const kKeepAfterMs = 50;
const kBackgroundMs = 2000;

/** Rejects when the signal aborts, whatever `work` is doing. */
function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  work.catch(() => undefined);
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(aborted(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function readWisdom(options: LoadOptions, { environment, stallTimeoutMs }: Settings, store: WisdomStore | null, notes: string[]): Promise<WisdomTexts> {
  const given = options.tuning ? options.tuning.wisdom : undefined;
  const explicit = given === undefined ? [] : [await givenWisdom(given, stallTimeoutMs, options.signal)];
  try {
    const stored: unknown = store && (await store.load(environment.device));
    return { explicit, stored: typeof stored === 'string' ? stored : null };
  } catch (thrown) {
    notes.push(`stored wisdom was not read: ${asKilnError(thrown, 'internal', 'the store failed').message}`);
    return { explicit, stored: null };
  }
}

/**
 * Loads a model and compiles it for this device while it downloads. Everything happens in workers. If the environment lacks something, the
 * model runs without it, and info() reports it. Throws KilnError.
 */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  checkOptions(options);
  const { tuning } = options;
  if (!tuning || !tuning.background) return Model.of(await loadOnce(source, options));
  let finish: () => void = () => undefined;
  const keepAfter = new Promise<void>((resolve) => (finish = resolve)); // the next visit will find what was measured
  const core = await loadOnce(source, { ...options, tuning: { ...tuning, budgetMs: 0 } }, { keepAfter });
  void improve(core, source, { ...options, tuning: { ...tuning, budgetMs: tuning.budgetMs ?? kBackgroundMs } }).finally(finish);
  return Model.of(core);
}

/** A second, tuned load in the background, while the first model serves. It stops early if no schedule was measured. */
async function improve(model: ModelCore, source: ModelSource, options: LoadOptions): Promise<void> {
  const stop = new AbortController();
  const tell = teller(options.onProgress);
  const onProgress: LoadOptions['onProgress'] = (event) => {
    if (model.ended) stop.abort();
    if (event.stage === 'tune') tell(event);
  };
  try {
    const tuned = await loadOnce(source, { ...options, runWhileLoading: false, onProgress, signal: stop.signal }, { nothingMeasured: () => stop.abort() });
    await model.adopt(tuned);
    if (!model.ended) tell({ stage: 'tuned' });
  } catch (thrown) {
    if (!stop.signal.aborted) model.note(`tuning in the background failed: ${describe(thrown)}`);
  }
}

interface Background {
  /** Called when the compiler has measured no schedule. */
  nothingMeasured?: () => void;
  /** When to cache the model for the next visit, if not soon. */
  keepAfter?: Promise<void>;
}

/** Loads once. Every failure is a KilnError. A load that failed because its page was left begins again, once. */
async function loadOnce(source: ModelSource, options: LoadOptions, background: Background = {}): Promise<ModelCore> {
  const absence = new Absence();
  const again = async (thrown: unknown): Promise<ModelCore> => {
    if (await absence.explains(thrown)) return begin(source, options, background);
    throw thrown;
  };
  try {
    return await begin(source, options, background).catch(again);
  } catch (thrown) {
    throw asKilnError(thrown, 'unsupported-environment', 'models cannot be loaded here');
  } finally {
    absence.end();
  }
}

async function begin(source: ModelSource, options: LoadOptions, { nothingMeasured, keepAfter }: Background): Promise<ModelCore> {
  if (options.signal?.aborted) throw aborted(options.signal);
  const began = sharedNow();
  await mayCompile();
  const wanted = settle(options);
  const input: PostableSource = postable(source);
  const notes: string[] = [];
  const chosen = chooseStore(options.wisdomStore);
  const store = chosen && patientStore(chosen, wanted.stallTimeoutMs);
  const texts = readWisdom(options, wanted, store, notes);
  texts.catch(() => undefined); // thrown again to the host, which asks
  let crash: (error: KilnError) => void = () => undefined;
  const crashed = new Promise<never>((_, reject) => (crash = reject));
  crashed.catch(() => undefined);

  const needs: Partial<Record<CompilerKind, () => void>> = {};
  const compiler = async (kind: CompilerKind): Promise<CompilerCode> => {
    await new Promise<void>((resolve) => (needs[kind] = resolve));
    return compilerCode(wanted.compilers[kind], wanted.stallTimeoutMs);
  };
  const compilers = { plain: compiler('plain'), full: compiler('full') };
  const request = (chosen: Settings): LoadRequest => {
    const kept = mayBeKept(); // takes a moment, in which the workers start
    if (!kept || input.format === 'onnx') needs[compilerOf(input.format)]?.(); // else once it is known; of .onnx files nothing is kept
    return requestOf(chosen, input.message, kept, began);
  };
  const progress = teller(options.onProgress);
  const gathering = gather(wanted, (chosen) =>
    Team.gather({
      threads: chosen.threads, workers: chosen.workers, stallTimeoutMs: chosen.stallTimeoutMs, request: () => request(chosen), compilers,
      answers: { pull: input.pull, wisdom: () => texts },
      onEvent: (name, data) => {
        if (name === 'progress') progress(data as HostEvents['progress']);
        if (name === 'needs') needs[data as HostEvents['needs']]?.();
        if (name === 'compilerDone') team.releaseCompiler();
        if (name === 'measured' && data === 0) nothingMeasured?.();
      },
      onCrash: (error) => crash(error),
    }),
  );
  const { team, settings } = await abortable(gathering, options.signal).catch((thrown: unknown) => {
    gathering.then((late) => late.team.terminate(asKilnError(thrown, 'internal', 'nobody waits')), () => undefined);
    throw thrown;
  });
  try {
    const { device } = settings.environment;
    const result: LoadResult = await abortable(Promise.race([team.loading, crashed]), options.signal);
    const engine = new Engine(team, settings, result);
    const loaded = abortable(Promise.race([team.host.call('landed', null), crashed]), options.signal).then((landed) => void (engine.landed = landed));
    loaded.catch(() => undefined); // thrown below, or to whoever runs the model
    if (!settings.runWhileLoading) await loaded;
    const model = new ModelCore(engine, loaded, await keep(result, await texts, store, device, notes), notes);
    loaded.catch((thrown: unknown) => model.end(asKilnError(thrown, 'internal', 'the model cannot be loaded')));
    crash = (error) => model.end(error);
    progress({ stage: 'ready' });
    if (result.cache === 'miss') {
      let keeping: Promise<void> | null = null;
      const kept = (): Promise<void> => (keeping ??= keepModel(model, team, texts, store, device));
      const after = loaded.then(() => {
        engine.keep = kept;
        return keepAfter ?? new Promise<void>((resolve) => setTimeout(resolve, kKeepAfterMs));
      });
      after.then(kept, () => undefined);
    }
    return model;
  } catch (thrown) {
    const error = asKilnError(thrown, 'internal', 'the model cannot be loaded');
    team.terminate(error);
    throw error;
  }
}

function requestOf(settings: Settings, source: SourceMessage, mayBeKept: boolean, began: number): LoadRequest {
  const { threads, shared, relaxedSimd, memory64, dims, precision, budgetMs, verify, integrity, mailbox, stallTimeoutMs, runWhileLoading, environment } = settings;
  const compile = { threads, shared, relaxedSimd, memory64, device: environment.device, dims, precision, budgetMs };
  const build = source.kind === 'url' ? settings.build : null;
  return { source, compile, verify, integrity, mailbox, stallTimeoutMs, runWhileLoading, build, mayBeKept, began };
}

/** Caches the model for the next visit, with the wisdom that the visit will find. It happens in the background, after the first runs. */
async function keepModel(model: ModelCore, team: Team, texts: Promise<WisdomTexts>, store: WisdomStore | null, device: string): Promise<void> {
  try {
    const { explicit } = await texts;
    const note = await team.host.call('keep', { explicit, stored: store ? await store.load(device) : null });
    if (note === null) noteKept();
    model.kept(note);
  } catch (thrown) {
    if (model.holds(team)) model.kept(`nothing was kept for the next visit: ${describe(thrown)}`);
  }
}

/** Returns everything that is known about schedules now. New measurements go to the store. */
async function keep(result: LoadResult, texts: WisdomTexts, store: WisdomStore | null, device: string, notes: string[]): Promise<string> {
  const stored = result.storedDropped ? null : texts.stored;
  const note = store && (await remember(store, device, result.wisdom, result.storedDropped));
  if (note) notes.push(note);
  return mergeWisdom([stored, ...texts.explicit, result.wisdom]);
}
