// What stands in front of worker.js where something is to go wrong: faults.js says what, in words of its own.

/** Runs in the worker, before everything else. */
function prelude(fault) {
  const isNode = typeof process !== 'undefined' && typeof process.getBuiltinModule === 'function';
  const page = isNode ? process.getBuiltinModule('node:worker_threads').parentPort : globalThis;
  const refuse = (what) => {
    throw new RangeError(`${what}: could not allocate memory, on purpose`);
  };
  /** From now on it says nothing more, but for what an engine says of it. */
  const die = () => {
    page.postMessage = MessagePort.prototype.postMessage = () => undefined;
    setTimeout(() => {
      throw new Error('a fault on purpose');
    });
  };
  /** Calls `act` at a message of a role for which `when` holds; nobody else gets it. */
  const at = (role, when, act) => {
    let mine = null, messages = 0;
    page.addEventListener('message', (event) => {
      mine ??= event.data.role;
      if (mine !== role || !when(event.data, messages++)) return;
      event.stopImmediatePropagation();
      act();
    });
  };
  const faults = {
    'dies-at-once': () => {
      throw new Error('a fault on purpose');
    },
    'host-dies-at-load': () => at('host', ({ name }) => name === 'load', die),
    'host-dies-between-runs': () => page.addEventListener('message', ({ data }) => data.name === 'landed' && setTimeout(die, 300)),
    'host-dies-in-a-run': () => at('host', ({ name }) => ['run', 'attend'].includes(name), die),
    'compiler-dies-at-its-code': () => at('compiler', (_, message) => message === 1, die),
    'compute-dies-at-once': () => at('compute', (_, message) => message === 0, () => setTimeout(die, 2000)), // when the host is there
    'no-memory': () => (WebAssembly.Memory = () => refuse('Memory')),
    'memory-in-a-moment': () => {
      const { Memory } = WebAssembly;
      let refused = 0;
      WebAssembly.Memory = function (...given) {
        return refused++ < 2 ? refuse('Memory') : new Memory(...given);
      };
    },
    'no-instances': () => (WebAssembly.instantiate = async () => refuse('instantiate')),
    'no-growth': () => {
      const { compile, instantiate } = WebAssembly;
      WebAssembly.compile = (code) => compile(capped(new Uint8Array(code)));
      WebAssembly.instantiate = async (...given) => {
        const made = await instantiate(...given);
        const { kiln_alloc: alloc, kiln_free: free, _initialize: initialize } = made.exports ?? {};
        if (!alloc) return made;
        const filled = () => {
          initialize?.();
          let last = 0;
          for (let at; (at = alloc(1 << 16)); ) last = at;
          free(last); // so that there is room for the head, and none for what is made of it
        };
        return { exports: { ...made.exports, _initialize: filled } };
      };
    },
    'storage-is-full': () => (FileSystemSyncAccessHandle.prototype.write = () => refuse('QuotaExceededError')),
    'storage-is-refused': () => {
      StorageManager.prototype.getDirectory = async () => refuse('SecurityError');
    },
    'storage-never-answers': () => (StorageManager.prototype.getDirectory = () => new Promise(() => undefined)),
    'storage-never-opens': () => (FileSystemFileHandle.prototype.createSyncAccessHandle = () => new Promise(() => undefined)),
    'storage-is-cut': () => (FileSystemSyncAccessHandle.prototype.read = () => 0),
  };
  /** The module with a memory that may not grow: its limits are one byte more, and so are section and maximum. */
  function capped(bytes) {
    for (let at = 8; at < bytes.length; ) {
      const id = bytes[at++];
      let size = 0, shift = 0, byte;
      const begin = at;
      do size |= ((byte = bytes[at++]) & 127) << shift, (shift += 7);
      while (byte & 128);
      if (id === 5) {
        const [count, flags] = bytes.subarray(at, at + 2);
        let end = at + 2;
        while (bytes[end++] & 128);
        const initial = bytes.subarray(at + 2, end);
        return new Uint8Array([...bytes.subarray(0, begin), 2 + 2 * initial.length, count, flags | 1, ...initial, ...initial, ...bytes.subarray(at + size)]);
      }
      at += size;
    }
    return bytes;
  }
  faults[fault]();
}

export const preludeOf = (fault) => `(${prelude})(${JSON.stringify(fault)});\n`;
