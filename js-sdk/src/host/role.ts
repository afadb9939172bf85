// The host worker: thread 0 of a model.
import { Channel, Transferred, type Hold, type Port } from '../shared/channel.js';
import { describe, KilnError } from '../shared/errors.js';
import { createMailbox, MailboxServer } from '../shared/mailbox.js';
import type { CompilerCalls, CompilerEvents, ComputeCalls, HostCalls, MainCalls, MainEvents } from '../shared/messages.js';
import { load, type Loaded } from './load.js';
import type { Session } from './session.js';

export function startHost(page: Port, compilerPort: MessagePort, computePorts: MessagePort[], hold: Hold): void {
  let mailbox: MailboxServer | null = null;
  let failure: unknown = new KilnError('internal', 'nothing has failed');
  let model: Loaded | null = null;
  let busy = false; // between runs
  const loaded = (): Loaded => {
    if (!model) throw new KilnError('internal', 'nothing is loaded');
    return model;
  };
  const main: Channel<MainCalls, HostCalls, MainEvents> = new Channel<MainCalls, HostCalls, MainEvents>(
    page,
    {
      load: async (request) => {
        model = await load(request, { main, compiler, compute });
        const { session, arrivals, result } = model;
        void arrivals.settled.then(() => compiler.close(new KilnError('disposed', 'the compiler has done its work')));
        mailbox = request.mailbox ? openMailbox(session, (thrown) => (failure = thrown), () => busy) : null;
        result.mailbox = mailbox?.handle ?? null;
        return new Transferred(result, result.cancel ? [result.cancel.port] : []);
      },
      landed: () => loaded().landed,
      keep: async (wisdom) => {
        busy = true;
        try {
          await loaded().keep?.(wisdom);
          return null;
        } catch (thrown) {
          return `nothing was kept for the next visit: ${describe(thrown)}`;
        } finally {
          busy = false;
          loaded().keep = null;
        }
      },
      run: async (inputs) => {
        const { session, arrivals } = loaded();
        const from = inputs.map((buffer) => new Uint8Array(buffer));
        const outputs = session.manifest.outputs.map(({ bytes }) => new Uint8Array(bytes));
        await arrivals.begin(session, from);
        session.run(from, outputs);
        const buffers = outputs.map(({ buffer }) => buffer);
        return new Transferred({ outputs: buffers, inputs }, [...buffers, ...inputs]);
      },
      attend: async () => {
        const { session, arrivals } = loaded();
        if (mailbox) await arrivals.begin(session, mailbox.inputs);
        await mailbox?.attend();
        return null;
      },
      failure: () => {
        throw failure;
      },
      profile: async ({ inputs, repeats, clockMs }) => {
        await loaded().landed;
        return loaded().session.profile(inputs.map((buffer) => new Uint8Array(buffer)), repeats, clockMs);
      },
    },
    hold,
    () => {
      model?.arrivals.abandon();
      model?.session.dismiss();
    },
  );
  const compiler = new Channel<CompilerCalls, object, CompilerEvents>(compilerPort, {}, hold, (name, data) => main.emit(name, data));
  const compute = computePorts.map((port) => new Channel<ComputeCalls>(port, {}, hold));
  main.emit('ready', null);
}

function openMailbox(session: Session, failed: (thrown: unknown) => void, busy: () => boolean): MailboxServer | null {
  const { inputs, outputs } = session.manifest;
  const bytesOf = ({ bytes }: { bytes: number }): number => bytes;
  const handle = createMailbox(inputs.map(bytesOf), outputs.map(bytesOf), session.slots);
  return handle && new MailboxServer(handle, (from, to) => session.run(from, to), failed, busy);
}
