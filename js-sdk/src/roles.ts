import { startCompiler } from './compiler/role.js';
import { startCompute } from './host/compute.js';
import { startHost } from './host/role.js';
import type { Hold } from './shared/channel.js';
import type { RoleMessage } from './shared/messages.js';

/** Takes up a role, in a worker or, where there is none, in the page itself. */
export function startRole(message: RoleMessage, hold: Hold): void {
  if (message.role === 'host') startHost(message.main, message.compiler, message.compute, hold);
  else if (message.role === 'compiler') startCompiler(message.host, message.compiler, hold);
  else startCompute(message.host, hold);
}
