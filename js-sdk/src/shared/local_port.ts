import type { Port } from './channel.js';
import { turn } from './turn.js';

/** How long messages may follow one another until other tasks of the thread get a turn. */
const kBusyMs = 8;
let turned = 0; // when they had one

/**
 * One of two connected ports in the same thread. It passes what a MessagePort does, but a message does not wait behind the tasks of the
 * thread: a small model is run in less time than two such waits take.
 */
class LocalPort implements Port {
  onmessage: Port['onmessage'] = null;
  peer: LocalPort | null = null;
  private last_ = Promise.resolve();

  postMessage(message: unknown, transfer: Transferable[]): void {
    const data: unknown = structuredClone(message, { transfer });
    this.last_ = this.last_.then(() => this.deliver(data)).catch(report);
  }

  close(): void {
    if (this.peer) this.peer.peer = null;
    this.peer = null;
  }

  private async deliver(data: unknown): Promise<void> {
    if (performance.now() > turned + kBusyMs) {
      await turn();
      turned = performance.now();
    }
    this.peer?.onmessage?.({ data } as MessageEvent);
  }
}

/** As the engine does where a handler of messages throws. */
function report(thrown: unknown): void {
  setTimeout(() => {
    throw thrown;
  });
}

export function localPorts(): [Port, Port] {
  const ports: [LocalPort, LocalPort] = [new LocalPort(), new LocalPort()];
  [ports[0].peer, ports[1].peer] = [ports[1], ports[0]];
  return ports;
}
