// The compiler worker: one model, then it is thrown away.
import { Channel, Transferred, type Hold } from '../shared/channel.js';
import { asKilnError, describe, fromPlain, KilnError } from '../shared/errors.js';
import { kLimit32 } from '../shared/memory.js';
import type { CompileRequest, CompilerCalls, CompilerMessage, CompileSettings, LaidOut, ProgressEvent, WisdomTexts } from '../shared/messages.js';
import { helpRestore } from '../host/restore.js';
import { moduleOf } from '../shared/module.js';
import { Timeline } from '../shared/timeline.js';
import { Compiler } from './instance.js';
import { tune } from './tune.js';

const kSlack = 64 << 20; // control block, scratch, alignment

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

/** Opens with 32-bit addresses, and again with 64-bit ones when the model asks for more. */
function openFitting(compiler: Compiler, request: CompileRequest, memory64Possible: boolean): CompileSettings {
  const settings = { ...request.settings, memory64: false };
  const { weightsBytes, arenaBytes } = compiler.open(request.head, request.fileBytes, optionLines(settings));
  if (weightsBytes + arenaBytes + kSlack <= kLimit32) return settings;
  if (!memory64Possible) throw new KilnError('out-of-memory', `the model needs ${weightsBytes + arenaBytes} bytes: more than 4 GB, and this engine has no 64-bit memory`);
  settings.memory64 = true;
  compiler.open(request.head, request.fileBytes, optionLines(settings));
  return settings;
}

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

async function layOut(compiler: Compiler, request: CompileRequest, timeline: Timeline, progress: (event: ProgressEvent) => void): Promise<LaidOut> {
  const notes: string[] = [];
  const settings = await timeline.during('plan', () => openFitting(compiler, request, request.settings.memory64));
  const storedDropped = giveWisdom(compiler, request.wisdom, notes);
  if (settings.budgetMs > 0) await timeline.during('tune', () => tune(compiler, settings, progress));
  const loadCode = await timeline.during('layout', () => moduleOf(compiler.layOut()));
  const { manifest, wisdom } = await timeline.during('describe', () => ({ manifest: compiler.manifest(), wisdom: compiler.wisdomExport() }));
  return { manifest, loadCode, wisdom, memory64: settings.memory64, storedDropped, notes };
}

/** The module comes when it is needed, perhaps never. */
function moduleFrom(port: MessagePort, hold: Hold): Promise<WebAssembly.Module> {
  return new Promise((resolve, reject) => {
    port.onmessage = ({ data }: MessageEvent<CompilerMessage>) => {
      if (data instanceof WebAssembly.Module) resolve(data);
      else reject(fromPlain(data));
      port.close();
    };
    if (hold !== 'always') (port as { unref?: () => void }).unref?.();
  });
}

export function startCompiler(port: MessagePort, modulePort: MessagePort, hold: Hold): void {
  const created = moduleFrom(modulePort, hold).then((module) => Compiler.create(module));
  created.catch(() => undefined); // reported to whoever asks first
  let timeline = new Timeline(0);
  let laid: Promise<LaidOut> = Promise.reject(new KilnError('internal', 'nothing is laid out'));
  laid.catch(() => undefined);
  const failed = (thrown: unknown): never => {
    throw asKilnError(thrown, 'compile', 'the compiler failed');
  };
  const channel: Channel<object, CompilerCalls> = new Channel<object, CompilerCalls>(
    port,
    {
      ready: () => created.then(() => null),
      restore: helpRestore,
      headLayout: async (start) => (await created).headLayout(start),
      layOut: async (request) => {
        timeline = new Timeline(request.began);
        laid = created.then((compiler) => layOut(compiler, request, timeline, (event) => channel.emit('progress', event)));
        return laid.catch(failed);
      },
      emit: async () => {
        await laid;
        await new Promise((resolve) => setTimeout(resolve, 0)); // after the answer to layOut has left
        const compiler = await created;
        const module = await timeline.during('emit', () => compiler.emit()).catch(failed);
        const code = await timeline.during('compile', () => moduleOf(module)).catch(failed);
        return new Transferred({ module, code, phases: timeline.phases }, [module.buffer]);
      },
    },
    hold,
  );
}
