// The host worker: thread 0 of a model.
import { Channel, Transferred, type Hold } from '../shared/channel.js';
import { KilnError } from '../shared/errors.js';
import type { CompilerCalls, CompilerEvents, ComputeCalls, HostCalls, MainCalls } from '../shared/messages.js';
import { load } from './load.js';
import type { Session } from './session.js';

export function startHost(mainPort: MessagePort, compilerPort: MessagePort, computePorts: MessagePort[], hold: Hold): void {
  let session: Session | null = null;
  const loaded = (): Session => {
    if (!session) throw new KilnError('internal', 'nothing is loaded');
    return session;
  };
  const main: Channel<MainCalls, HostCalls> = new Channel<MainCalls, HostCalls>(
    mainPort,
    {
      load: async (request) => {
        const done = await load(request, { main, compiler, compute });
        session = done.session;
        compiler.close(new KilnError('disposed', 'the compiler has done its work'));
        return new Transferred(done.result, done.result.cancel ? [done.result.cancel.port] : []);
      },
      run: (inputs) => {
        const outputs = loaded().run(inputs);
        return new Transferred({ outputs, inputs }, [...outputs, ...inputs]);
      },
      profile: ({ inputs, repeats, clockMs }) => loaded().profile(inputs, repeats, clockMs),
    },
    hold,
  );
  const compiler = new Channel<CompilerCalls, object, CompilerEvents>(compilerPort, {}, hold, (name, data) => main.emit(name, data));
  const compute = computePorts.map((port) => new Channel<ComputeCalls>(port, {}, hold));
  main.emit('ready', null);
}
