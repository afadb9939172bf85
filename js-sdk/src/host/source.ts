// The model's bytes as a stream of chunks, from any source.
import type * as Fs from 'node:fs';
import { asKilnError, KilnError } from '../shared/errors.js';
import type { SourceMessage } from '../shared/messages.js';
import { nodeModule } from '../shared/node.js';
import { download } from './download.js';
import { readerOf, type ByteSource } from './reader.js';

function ofBlob(name: string, blob: Blob): ByteSource {
  const { size } = blob;
  const reader = readerOf(blob.stream(), size);
  return {
    ...reader,
    name,
    size,
    read: async () => {
      try {
        return await reader.read();
      } catch (thrown) {
        throw new KilnError('network', `${name} cannot be read any further: the file that it stands for may have changed or gone`, { where: name, cause: thrown });
      }
    },
  };
}

async function ofFile(path: string): Promise<ByteSource> {
  const { open } = nodeModule<typeof Fs>('fs').promises;
  try {
    const file = await open(path, 'r');
    const { size } = await file.stat();
    const kChunk = 1 << 20;
    return {
      name: path,
      size,
      read: async () => {
        const { bytesRead, buffer } = await file.read(new Uint8Array(kChunk), 0, kChunk);
        return bytesRead > 0 ? buffer.subarray(0, bytesRead) : null;
      },
      cancel: () => void file.close().catch(() => undefined),
    };
  } catch (thrown) {
    throw asKilnError(thrown, 'network', `the file ${path} cannot be read`);
  }
}

export async function openSource(source: SourceMessage, stallTimeoutMs: number, pull: () => Promise<Uint8Array | null>): Promise<ByteSource> {
  switch (source.kind) {
    case 'url':
      return download(source.url, source.init, stallTimeoutMs);
    case 'file':
      return ofFile(source.path);
    case 'blob':
      return ofBlob('the given blob', source.blob);
    case 'pull':
      return { name: source.name, size: source.size < 0 ? undefined : source.size, read: pull, cancel: () => undefined };
  }
}
