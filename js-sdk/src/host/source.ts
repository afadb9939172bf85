// The model's bytes as a stream of chunks, wherever they come from.
import type * as Fs from 'node:fs';
import { asKilnError, KilnError } from '../shared/errors.js';
import type { SourceMessage } from '../shared/messages.js';
import { nodeModule } from '../shared/node.js';

export interface ByteSource {
  /** For messages: URL, path or "the given bytes". */
  name: string;
  size: number | undefined;
  /** The next chunk, or null at the end. */
  read(): Promise<Uint8Array | null>;
  cancel(): void;
}

function ofStream(name: string, size: number | undefined, stream: ReadableStream<Uint8Array>): ByteSource {
  const reader = stream.getReader();
  return {
    name,
    size,
    read: async () => {
      try {
        return (await reader.read()).value ?? null;
      } catch (thrown) {
        throw new KilnError('network', `the download of ${name} broke off; try again`, { where: name, cause: thrown });
      }
    },
    cancel: () => void reader.cancel().catch(() => undefined),
  };
}

async function ofUrl(url: string, init: RequestInit): Promise<ByteSource> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (thrown) {
    throw new KilnError('network', `${url} cannot be fetched: check the address, the connection and the server's CORS headers`, { where: url, cause: thrown });
  }
  if (!response.ok) throw new KilnError('network', `${url} answered ${response.status} ${response.statusText}`.trim(), { where: url });
  if (!response.body) throw new KilnError('network', `${url} answered with nothing`, { where: url });
  const length = Number(response.headers.get('content-length') ?? NaN);
  const exact = !response.headers.get('content-encoding') && Number.isSafeInteger(length);
  return ofStream(url, exact ? length : undefined, response.body);
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

export async function openSource(source: SourceMessage, pull: () => Promise<Uint8Array | null>): Promise<ByteSource> {
  switch (source.kind) {
    case 'url':
      return ofUrl(source.url, source.init);
    case 'file':
      return ofFile(source.path);
    case 'blob':
      return ofStream('the given blob', source.blob.size, source.blob.stream());
    case 'pull':
      return { name: source.name, size: source.size < 0 ? undefined : source.size, read: pull, cancel: () => undefined };
  }
}
