// The one worker file: the first message says which role it plays.
import type * as WorkerThreads from 'node:worker_threads';
import type { RoleMessage } from './shared/messages.js';
import { isNode, nodeModule } from './shared/node.js';
import { startRole } from './roles.js';

if (isNode) {
  nodeModule<typeof WorkerThreads>('worker_threads').parentPort?.once('message', (message: RoleMessage) => startRole(message, 'always'));
} else {
  globalThis.addEventListener('message', (event: MessageEvent<RoleMessage>) => startRole(event.data, 'always'), { once: true });
}
