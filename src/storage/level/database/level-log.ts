/**
 * Reads the files that LevelDB appends to, its logs and its MANIFEST, in the same way as LevelDB 1.20 when it opens a
 * folder. LevelDB silently skips damaged parts of a log and then deletes it, so damage must be found before LevelDB
 * opens the folder.
 */

const blockBytes = 32 * 1024;
const headerBytes = 7;
const [full, first, middle, last] = [1, 2, 3, 4] as const;

/** A record of the file, or a gap: bytes without a readable record. */
export type LogEntry =
  | { readonly type: 'gap'; readonly offset: number }
  | {
      readonly type: 'record';
      readonly offset: number;
      /** The whole record, or only its first part. */
      readonly payload: Buffer;
      /** False when LevelDB does not recover the record: part of it is missing, or it follows damage in its block. */
      readonly whole: boolean;
    };

/** The first operation of a batch. */
export interface LoggedBatch {
  readonly key: string;
  readonly value: string;
}

/**
 * Returns the entries of a log in file order.
 * @param firstKey the key that every batch writes first. Records that start with it are also found where LevelDB skips
 * the rest of a block; they prove that something was written there.
 */
export function readLog(log: Buffer, firstKey: string): LogEntry[] {
  const entries: LogEntry[] = [];
  let open: { readonly offset: number; readonly parts: Buffer[] } | undefined;
  /** Ends a record whose last part is missing. */
  const abandon = (): void => {
    if (open !== undefined)
      entries.push({ type: 'record', offset: open.offset, payload: open.parts[0] as Buffer, whole: false });
    open = undefined;
  };
  for (let start = 0; start < log.length; start += blockBytes) {
    const end = Math.min(start + blockBytes, log.length);
    let offset = start;
    while (end - offset >= headerBytes) {
      const type = log[offset + 6];
      const payload = readFragment(log, offset, end);
      if (payload === undefined || type === undefined || type > last) {
        abandon();
        entries.push({ type: 'gap', offset }, ...findRecords(log, offset, end, firstKey));
        offset = end;
        break;
      }
      if (type === full) {
        abandon();
        entries.push({ type: 'record', offset, payload, whole: true });
      } else if (type === first) {
        abandon();
        open = { offset, parts: [payload] };
      } else if (open === undefined) {
        entries.push({ type: 'gap', offset });
      } else {
        open.parts.push(payload);
        if (type !== middle) {
          entries.push({ type: 'record', offset: open.offset, payload: Buffer.concat(open.parts), whole: true });
          open = undefined;
        }
      }
      offset += headerBytes + payload.length;
    }
  }
  abandon();
  return entries;
}

/**
 * Returns the first operation of a batch, or `undefined` when the record is not a batch that begins with a put, or is
 * cut short.
 */
export function readBatch(record: Buffer): LoggedBatch | undefined {
  if (record.length <= batchHeaderBytes || record[batchHeaderBytes] !== putTag) return undefined;
  const key = readString(record, batchHeaderBytes + 1);
  const value = key && readString(record, key.end);
  return key && value && { key: key.text, value: value.text };
}

/** One operation of a batch in a log. */
export type LoggedOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

/** Returns all operations of a batch, or `undefined` when the record is not a batch. */
export function readOperations(record: Buffer): LoggedOperation[] | undefined {
  const operations: LoggedOperation[] = [];
  let at = batchHeaderBytes;
  while (at < record.length) {
    const tag = record[at];
    const key = tag === undefined || tag > putTag ? undefined : readString(record, at + 1);
    const value = tag === putTag && key !== undefined ? readString(record, key.end) : undefined;
    if (key === undefined || (tag === putTag && value === undefined)) return undefined;
    operations.push(
      value === undefined ? { type: 'del', key: key.text } : { type: 'put', key: key.text, value: value.text },
    );
    at = (value ?? key).end;
  }
  return operations;
}

/** Returns the number of the oldest log that a MANIFEST still needs, or 0 in a folder that was never reopened. */
export function readLogNumber(manifest: Buffer): number {
  let logNumber = 0;
  for (const entry of readLog(manifest, '')) {
    if (entry.type === 'record' && entry.whole) logNumber = findLogNumber(entry.payload) ?? logNumber;
  }
  return logNumber;
}

/** A batch begins with a sequence number of 8 bytes and a count of 4. */
const batchHeaderBytes = 12;
/** The tag before the key of a put; a delete has 0. */
const putTag = 1;

/** Returns the payload at an offset, or `undefined` when it is incomplete or its checksum is wrong. */
function readFragment(log: Buffer, offset: number, end: number): Buffer | undefined {
  const length = log.readUInt16LE(offset + 4);
  const type = log[offset + 6];
  const payloadEnd = offset + headerBytes + length;
  if (payloadEnd > end || type === 0) return undefined;
  if (unmask(log.readUInt32LE(offset)) !== crc32c(log, offset + 6, payloadEnd)) return undefined;
  return log.subarray(offset + headerBytes, payloadEnd);
}

/** Finds records that follow damage in a block, by the key that they start with. */
function findRecords(log: Buffer, from: number, end: number, firstKey: string): LogEntry[] {
  const found: LogEntry[] = [];
  if (firstKey === '') return found;
  // The key follows the record header, the batch header, the tag, and its own length in one byte.
  const distance = headerBytes + batchHeaderBytes + 2;
  const block = log.subarray(0, end);
  for (let at = block.indexOf(firstKey, from); at >= 0; at = block.indexOf(firstKey, at + 1)) {
    const offset = at - distance;
    if (offset <= from) continue;
    const payload = readFragment(log, offset, end);
    const type = log[offset + 6];
    if (payload === undefined || (type !== full && type !== first)) continue;
    found.push({ type: 'record', offset, payload, whole: false });
  }
  return found;
}

function findLogNumber(edit: Buffer): number | undefined {
  const comparatorTag = 1;
  const logNumberTag = 2;
  // LevelDB writes the comparator's name, if any, and then the log number before all other fields.
  let tag = readVarint(edit, 0);
  if (tag?.value === comparatorTag) {
    const name = readString(edit, tag.end);
    tag = name && readVarint(edit, name.end);
  }
  return tag?.value === logNumberTag ? readVarint(edit, tag.end)?.value : undefined;
}

function readString(buffer: Buffer, offset: number): { readonly text: string; readonly end: number } | undefined {
  const length = readVarint(buffer, offset);
  if (length === undefined || length.end + length.value > buffer.length) return undefined;
  const end = length.end + length.value;
  return { text: buffer.toString('utf8', length.end, end), end };
}

function readVarint(buffer: Buffer, offset: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let at = offset, factor = 1; at < buffer.length && factor <= 2 ** 49; at++, factor *= 128) {
    const byte = buffer.readUInt8(at);
    value += (byte & 127) * factor;
    if (byte < 128) return { value, end: at + 1 };
  }
  return undefined;
}

/** LevelDB stores checksums rotated and offset by a constant. */
function unmask(stored: number): number {
  const rotated = (stored - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Computes CRC-32C (Castagnoli), which neither `node:zlib` nor `node:crypto` provides. */
function crc32c(buffer: Buffer, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let at = start; at < end; at++) crc = (crc >>> 8) ^ (crcTable[(crc ^ (buffer[at] as number)) & 255] as number);
  return (crc ^ 0xffffffff) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
