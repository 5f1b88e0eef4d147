import type { ObjectLedger, StagedBytes, StagedTail, UploadedPart } from '../../../ports/metadata/object-ledger.js';
import { nextPartOf } from '../../staged-bytes.js';
import type { ObjectHead, S3Bucket } from '../client/s3-bucket.js';
import { isMissing, isPartMissing, S3Error } from '../client/s3-errors.js';
import type { HeldClaim } from './held-claim.js';

/** Reads the tail of an upload. @throws Error when it is lost. */
export async function readTail(bucket: S3Bucket, { key, size }: StagedTail): Promise<Buffer> {
  const bytes = await bucket.get(key);
  if (bytes?.length === size) return bytes;
  throw new Error(
    `the object store lost a part of an upload: ${key} has ${bytes?.length ?? 0} bytes instead of ${size}`,
  );
}

/** Reads the first bytes of an upload without parts. @throws Error when it has parts, or when the tail is lost. */
export async function readKept(bucket: S3Bucket, { parts, tail }: StagedBytes, size: number): Promise<Buffer> {
  if (parts.length > 0 || tail === undefined) throw new Error('the bytes of a multipart upload cannot be read yet');
  return (await readTail(bucket, tail)).subarray(0, size);
}

/** An upload to complete, and the size that its object must have. */
interface Completion {
  readonly key: string;
  readonly uploadId: string;
  readonly size: number;
}

/** The dependencies of `copyParts`. */
export interface CopyContext {
  readonly bucket: S3Bucket;
  readonly ledger: Pick<ObjectLedger, 'reserve'>;
  readonly newKey: () => string;
  /** When to delete an object that is never named. */
  readonly reservedUntil: () => number;
  /** When to delete an object that is no longer named. */
  readonly retireAt: () => number;
}

/**
 * Joins the parts of a multipart upload into an object. Succeeds if an earlier attempt already did. Returns `undefined` if the service
 * refuses to leave out parts that the upload has given up: see `copyParts`.
 */
export async function joinParts(
  bucket: S3Bucket,
  uploadId: string,
  bytes: StagedBytes,
): Promise<ObjectHead | undefined> {
  try {
    const all = async () => [...bytes.parts, ...(await sendTail(bucket, uploadId, bytes))];
    return await complete(bucket, { key: bytes.key, uploadId, size: sizeOf(bytes) }, all);
  } catch (error) {
    if (isPartMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Joins the parts of an upload in a new object, for services such as Ceph's RGW, which never leave out a part that they have received:
 * joins all of them, and lets the service copy those that the upload still has. Continues where an earlier attempt stopped.
 */
export async function copyParts(
  context: CopyContext,
  claim: HeldClaim,
  uploadId: string,
  bytes: StagedBytes,
): Promise<StagedTail> {
  const { bucket, ledger, newKey, reservedUntil } = context;
  const { key } = bytes;
  const { kept, received } = await listReceived(context, claim, uploadId, bytes);
  await complete(bucket, { key, uploadId, size: sizeOf({ parts: received }) }, async () => received);
  const copy = newKey();
  const copyId = await bucket.startUpload(copy);
  await ledger.reserve({ key: copy, uploadId: copyId }, reservedUntil());
  const copies: UploadedPart[] = [];
  let start = 0;
  for (const { number, size } of received) {
    const range = { start, end: start + size - 1 };
    if (kept.has(number)) copies.push(await bucket.copyPart(copy, copyId, number, { key, range }));
    start += size;
  }
  const completion = { key: copy, uploadId: copyId, size: sizeOf(bytes) };
  return { key: copy, ...(await complete(bucket, completion, async () => copies)) };
}

/**
 * Returns the parts that the service has received, and the numbers of those to keep. Records them, because the service does not list
 * them any more once they are joined.
 */
async function listReceived(
  { bucket, retireAt }: CopyContext,
  claim: HeldClaim,
  uploadId: string,
  bytes: StagedBytes,
): Promise<{ readonly kept: ReadonlySet<number>; readonly received: readonly UploadedPart[] }> {
  const { key, received: recorded } = bytes;
  try {
    const parts = [...bytes.parts, ...(await sendTail(bucket, uploadId, bytes))];
    const received = await bucket.listParts(key, uploadId);
    refuseReplaced(key, parts, received);
    await claim.rebase({ ...bytes, parts, tail: undefined, received }, retireAt());
    return { kept: numbersOf(parts), received };
  } catch (error) {
    if (recorded === undefined || !isMissing(error)) throw error;
    return { kept: numbersOf(bytes.parts), received: recorded };
  }
}

/** @throws S3Error when the service has other bytes for a part than the upload, as after a late request of another process. */
function refuseReplaced(key: string, parts: readonly UploadedPart[], received: readonly UploadedPart[]): void {
  const etags = new Map(received.map(({ number, etag }) => [number, etag.replaceAll('"', '')]));
  for (const { number, etag } of parts)
    if (etags.get(number) !== etag.replaceAll('"', ''))
      throw new S3Error(`POST ${key}`, 400, 'InvalidPart', `part ${number} is missing or has other bytes`);
}

function numbersOf(parts: readonly UploadedPart[]): ReadonlySet<number> {
  return new Set(parts.map(({ number }) => number));
}

/** Completes an upload. Succeeds if an earlier attempt already did. */
async function complete(
  bucket: S3Bucket,
  { key, uploadId, size }: Completion,
  collect: () => Promise<readonly UploadedPart[]>,
): Promise<ObjectHead> {
  let failure: unknown;
  try {
    await bucket.completeUpload(key, uploadId, await collect());
  } catch (error) {
    if (!isMissing(error)) throw error;
    failure = error;
  }
  const head = await bucket.head(key);
  if (head?.size === size) return head;
  throw failure ?? new Error(`the object store joined ${head?.size} bytes instead of ${size}: ${key}`);
}

/** Sends the tail as the last part, if there is one. */
async function sendTail(bucket: S3Bucket, uploadId: string, bytes: StagedBytes): Promise<readonly UploadedPart[]> {
  const { key, tail } = bytes;
  if (tail === undefined) return [];
  return [await bucket.uploadPart(key, uploadId, nextPartOf(bytes), await readTail(bucket, tail))];
}

/** Returns the number of bytes. */
export function sizeOf({ parts, tail }: Pick<StagedBytes, 'parts' | 'tail'>): number {
  return parts.reduce((sum, { size }) => sum + size, tail?.size ?? 0);
}
