// The compiler worker. It compiles one model and is then thrown away.
import { Channel, Transferred, type Hold, type Port } from '../shared/channel.js';
import { asKilnError, describe, fromPlain, KilnError } from '../shared/errors.js';
import { kLimit32 } from '../shared/memory.js';
import type { CompileRequest, CompilerCalls, CompilerCode, CompilerKind, CompilerMessage, CompileSettings, LaidOut, LoadProgress, WisdomTexts } from '../shared/messages.js';
import { helpRestore } from '../host/restore.js';
import { runAhead } from '../host/run_ahead.js';
import { codeFor } from '../shared/module.js';
import { Timeline } from '../shared/timeline.js';
import { Compiler, Incomplete } from './instance.js';
import { tune } from './tune.js';

const kSlack = 64 << 20; // control block, scratch, alignment
/** A model that is much smaller than its file does not get memory for all of the file. */
const kWorthLanding = 0.8;

function optionLines(settings: CompileSettings): string {
  const flag = (value: boolean): string => (value ? '1' : '0');
  const lines = [
    `threads=${settings.threads}`,
    `shared=${flag(settings.shared)}`,
    `relaxedSimd=${flag(settings.relaxedSimd)}`,
    `memory64=${flag(settings.memory64)}`,
    `device=${settings.device.replaceAll(/[\r\n]+/g, ' ')}`,
    `precision=${settings.precision}`,
    ...Object.entries(settings.dims).map(([symbol, size]) => `dim.${symbol}=${size}`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

interface Opened {
  digests: Uint8Array<ArrayBuffer>;
  settings: CompileSettings;
  overFile: boolean;
  fileWeightsBytes: number;
}

/** Opens the model with 32-bit addresses, and again with 64-bit ones if it needs more. */
function openFitting(compiler: Compiler, { head, fileBytes, settings: asked }: CompileRequest): Opened {
  const settings = { ...asked, memory64: false };
  const { weightsBytes, arenaBytes, fileWeightsBytes } = compiler.open(head, fileBytes, optionLines(settings));
  const digests = compiler.digests();
  const fits = weightsBytes + arenaBytes + kSlack <= kLimit32;
  if (fits) return { settings, digests, fileWeightsBytes, overFile: weightsBytes >= fileWeightsBytes * kWorthLanding };
  if (!asked.memory64) throw new KilnError('out-of-memory', `the model needs ${weightsBytes + arenaBytes} bytes: more than 4 GB, and this engine has no 64-bit memory`);
  settings.memory64 = true;
  compiler.open(head, fileBytes, optionLines(settings));
  return { settings, digests, fileWeightsBytes, overFile: false };
}

type Emitted = Transferred<ReturnType<CompilerCalls['emit']>>;

/** Returns whether the stored wisdom had to be dropped. */
function giveWisdom(compiler: Compiler, wisdom: WisdomTexts, notes: string[]): boolean {
  if (wisdom.stored !== null) {
    try {
      compiler.wisdom(wisdom.stored);
    } catch (thrown) {
      notes.push(`stored wisdom was dropped: ${describe(thrown)}`);
    }
  }
  for (const text of wisdom.explicit) compiler.wisdom(text);
  return notes.length > 0;
}

/** A compiler's code comes when it is needed, perhaps never, and that of the full one when the plain one turns out to lack something. */
function compilersFrom(page: Port, hold: Hold): Record<CompilerKind, Promise<Compiler>> {
  const settle: Partial<Record<CompilerKind, (code: CompilerMessage['code']) => void>> = {};
  const coming = (kind: CompilerKind): Promise<Compiler> => {
    const created = new Promise<CompilerCode>((resolve, reject) => (settle[kind] = (code) => ('code' in code ? reject(fromPlain(code)) : resolve(code)))).then((code) => Compiler.create(code));
    created.catch(() => undefined); // reported to whoever asks first
    return created;
  };
  page.onmessage = ({ data: { kind, code } }: MessageEvent<CompilerMessage>) => settle[kind]?.(code);
  if (hold !== 'always') page.unref?.();
  return { plain: coming('plain'), full: coming('full') };
}

export function startCompiler(port: MessagePort, page: Port, hold: Hold): void {
  const created = compilersFrom(page, hold);
  let current = created.plain;
  let last: Promise<unknown> | null = null;
  let timeline = new Timeline(0);
  let request: CompileRequest;
  let opened: Opened;
  const progress = (event: LoadProgress): void => channel.emit('progress', event);
  /** Calls follow each other, also those that come early; each begins when the answer to the one before has left. */
  const then = <T>(work: (compiler: Compiler) => Promise<T>): Promise<T> => {
    const before = last;
    const done = (async () => {
      if (before) {
        await before;
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      return work(await current);
    })();
    done.catch(() => undefined);
    last = done;
    return done;
  };
  const failed = (thrown: unknown): never => {
    throw asKilnError(thrown, 'compile', 'the compiler failed');
  };
  const plan = async (compiler: Compiler): Promise<Omit<Opened, 'settings'>> => {
    opened = await timeline.during('plan', () => openFitting(compiler, request)).catch(async (thrown: unknown) => {
      if (!(thrown instanceof Incomplete) || request.compiler === 'full') throw thrown;
      channel.emit('needs', 'full'); // while the file still arrives
      current = created.full;
      const full = await current;
      return timeline.during('plan', () => openFitting(full, request));
    });
    const { overFile, fileWeightsBytes, digests } = opened;
    return { overFile, fileWeightsBytes, digests };
  };
  const layOut = async (compiler: Compiler, { fileAt, landed, wisdom: known }: Parameters<CompilerCalls['layOut']>[0]): Promise<LaidOut> => {
    const { settings, overFile } = opened;
    const notes: string[] = [];
    const storedDropped = giveWisdom(compiler, known, notes);
    if (settings.budgetMs > 0) await timeline.during('tune', () => tune(compiler, settings, progress));
    const loadCode = await timeline.during('layout', async () => codeFor(compiler.layOut(settings.memory64 ? 0 : fileAt, overFile ? Infinity : landed)));
    const { manifest, wisdom } = await timeline.during('describe', () => ({ manifest: compiler.manifest(), wisdom: compiler.wisdomExport() }));
    return { manifest, loadCode, wisdom, memory64: settings.memory64, storedDropped, notes };
  };
  const emit = async (compiler: Compiler): Promise<Emitted> => {
    const module = await timeline.during('emit', () => compiler.emit());
    const code = await timeline.during('compile', async () => codeFor(module));
    return new Transferred({ module, code, phases: timeline.phases }, [module.buffer]);
  };
  const channel: Channel<object, CompilerCalls> = new Channel<object, CompilerCalls>(
    port,
    {
      ready: () => Promise.race([created.plain, created.full]).then(() => null),
      restore: helpRestore,
      runAhead,
      headLayout: async (start) => (await created.plain).headLayout(start),
      pieces: async ({ skeleton, fileBytes }) => {
        const answer = (await created.full).pieces(skeleton, fileBytes);
        return new Transferred({ answer }, [answer.buffer]);
      },
      plan: (asked) => {
        current = created[asked.compiler];
        timeline = new Timeline(asked.began);
        request = asked;
        return then(plan).catch(failed);
      },
      layOut: (asked) => then((compiler) => layOut(compiler, asked)).catch(failed),
      emit: () => then(emit).catch(failed),
    },
    hold,
  );
}
