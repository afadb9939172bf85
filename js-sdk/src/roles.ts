import { startCompiler } from './compiler/role.js';
import { startCompute } from './host/compute.js';
import { startHost } from './host/role.js';
import type { Hold, Port } from './shared/channel.js';
import type { RoleMessage } from './shared/messages.js';

/** Waits for the message that says which role this is, takes it up, and says that it is here: in a worker or, where there is none, in the page itself. */
export function takeSeat(page: Port, hold: Hold): void {
  page.onmessage = ({ data: message }: MessageEvent<RoleMessage>) => {
    page.onmessage = null;
    if (message.role === 'host') startHost(page, message.compiler, message.compute, hold);
    else if (message.role === 'compiler') startCompiler(message.host, page, hold);
    else startCompute(message.host, hold);
    if (message.role !== 'host') page.postMessage(null, []);
  };
}
