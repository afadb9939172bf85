// What can be told of a model file without its reader, which is in the compiler.

/** The first field, a small number (the version of the format), then a text or a message: as format/foreign_file.cpp tells it. */
export const looksLikeOnnx = ([key, version, next]: Uint8Array): boolean => key === 8 && version !== undefined && version > 0 && version < 32 && next !== undefined && next % 8 === 2;

/** Weights of a .kiln file begin at the next such multiple behind its head. */
const kSegmentAlign = 64;
export const weightsBeginOf = (head: Uint8Array): number => Math.ceil(head.length / kSegmentAlign) * kSegmentAlign;
