import type { ObjectLedger, UploadedPart } from '../../../ports/metadata/object-ledger.js';
import type { Digest } from '../../../protocol/digest.js';
import { closeFile, fill, openFile, statOpen } from '../../files/system/files.js';
import type { ObjectHead, S3Bucket } from '../client/s3-bucket.js';

const mebibyte = 1024 * 1024;
/** Larger files are sent in parts. */
const maxWholeBytes = 16 * mebibyte;
const minPartBytes = 8 * mebibyte;
const maxParts = 9000;
const maxInFlight = 4;

/** The dependencies of `uploadFile`. */
export interface FileUploadParts {
  readonly bucket: S3Bucket;
  readonly ledger: ObjectLedger;
  /** When to delete the object if it is not named by then. */
  readonly reservedUntil: () => number;
}

/** Sends a file whose digest was verified to a new object. */
export async function uploadFile(
  { bucket, ledger, reservedUntil }: FileUploadParts,
  key: string,
  path: string,
  digest: Digest,
): Promise<ObjectHead> {
  await ledger.reserve({ key }, reservedUntil());
  const fd = await openFile(path, 'r');
  try {
    const { size } = await statOpen(fd);
    const read = async (start: number, end: number): Promise<Buffer> => {
      const bytes = Buffer.allocUnsafe(end - start);
      await fill(fd, bytes, start);
      return bytes;
    };
    if (size <= maxWholeBytes) return await bucket.put(key, await read(0, size), digest);
    const uploadId = await bucket.startUpload(key);
    await ledger.reserve({ key, uploadId }, reservedUntil());
    const parts = await sendParts(size, async (number, start, end) =>
      bucket.uploadPart(key, uploadId, number, await read(start, end)),
    );
    await bucket.completeUpload(key, uploadId, parts);
    const head = await bucket.head(key);
    if (head?.size === size) return head;
    throw new Error(`the object store joined ${head?.size} bytes instead of ${size}: ${key}`);
  } finally {
    await closeFile(fd);
  }
}

type SendPart = (number: number, start: number, end: number) => Promise<UploadedPart>;

async function sendParts(size: number, send: SendPart): Promise<readonly UploadedPart[]> {
  const partBytes = Math.max(minPartBytes, Math.ceil(size / maxParts));
  const count = Math.ceil(size / partBytes);
  const parts: UploadedPart[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      parts.push(await send(index + 1, index * partBytes, Math.min(size, (index + 1) * partBytes)));
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: maxInFlight }, work));
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return parts.sort((a, b) => a.number - b.number);
}
