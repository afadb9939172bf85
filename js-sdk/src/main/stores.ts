import type * as Crypto from 'node:crypto';
import type * as Fs from 'node:fs/promises';
import type * as Os from 'node:os';
import type * as Path from 'node:path';
import type { WisdomStore } from '../options.js';
import { nodeModule } from '../shared/node.js';

const kDatabase = 'wasmkiln';
const kTable = 'wisdom';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB failed'));
  });
}

async function withTable<T>(mode: IDBTransactionMode, work: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const opening = indexedDB.open(kDatabase, 1);
  opening.onupgradeneeded = () => void opening.result.createObjectStore(kTable);
  const database = await settled(opening);
  try {
    return await settled(work(database.transaction(kTable, mode).objectStore(kTable)));
  } finally {
    database.close();
  }
}

/** One record per device in IndexedDB. */
export function indexedDbStore(): WisdomStore {
  return {
    load: async (device) => {
      const text: unknown = await withTable('readonly', (table) => table.get(device) as IDBRequest<unknown>);
      return typeof text === 'string' ? text : null;
    },
    save: async (device, json) => {
      await withTable('readwrite', (table) => table.put(json, device));
    },
  };
}

/** One file per device, in the system's cache directory unless another is given. */
export function fileStore(directory?: string): WisdomStore {
  const path = nodeModule<typeof Path>('path');
  const fs = nodeModule<typeof Fs>('fs/promises');
  const folder = directory ?? path.join(cacheDirectory(), 'wasmkiln');
  const fileOf = (device: string): string => {
    const hash = nodeModule<typeof Crypto>('crypto').createHash('sha256').update(device).digest('hex');
    return path.join(folder, `wisdom-${hash.slice(0, 16)}.json`);
  };
  return {
    load: async (device) => {
      try {
        return await fs.readFile(fileOf(device), 'utf8');
      } catch {
        return null;
      }
    },
    save: async (device, json) => {
      await fs.mkdir(folder, { recursive: true });
      const file = fileOf(device);
      const draft = `${file}.${process.pid}`;
      await fs.writeFile(draft, json);
      await fs.rename(draft, file); // never half a file, whoever else writes
    },
  };
}

function cacheDirectory(): string {
  const { homedir } = nodeModule<typeof Os>('os');
  const path = nodeModule<typeof Path>('path');
  if (process.env['XDG_CACHE_HOME']) return process.env['XDG_CACHE_HOME'];
  if (process.platform === 'darwin') return path.join(homedir(), 'Library', 'Caches');
  if (process.platform === 'win32') return process.env['LOCALAPPDATA'] ?? path.join(homedir(), 'AppData', 'Local');
  return path.join(homedir(), '.cache');
}
