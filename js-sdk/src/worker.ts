// The only worker file. The first message says which role it plays.
import type * as WorkerThreads from 'node:worker_threads';
import type { Port } from './shared/channel.js';
import { isNode, nodeModule } from './shared/node.js';
import { takeSeat } from './roles.js';

takeSeat((isNode ? nodeModule<typeof WorkerThreads>('worker_threads').parentPort : globalThis) as Port, 'always');
