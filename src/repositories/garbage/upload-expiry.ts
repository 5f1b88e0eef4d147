import type { BlobStore } from '../../ports/bytes.js';
import type { MetadataWriter, UploadRecords } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { SessionId } from '../../protocol/names.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import { isTransient } from '../content/transient-staging.js';

export interface ExpiryParts {
  readonly blobs: BlobStore;
  readonly metadata: UploadRecords & MetadataWriter;
  readonly runtime: Runtime;
  readonly sessionLocks: KeyedMutex;
  readonly uploadExpiryMs: number;
}

/**
 * Ends uploads without progress since the expiry time, and discards staged bytes whose session is lost. Leaves
 * transient bytes alone, because a request may be using them. Returns the number of sessions that ended, or would end
 * with `dryRun`.
 */
export async function expireUploads(
  parts: ExpiryParts,
  { dryRun = false, isStopped = () => false }: { readonly dryRun?: boolean; readonly isStopped?: () => boolean } = {},
): Promise<number> {
  const { blobs, metadata, runtime, sessionLocks, uploadExpiryMs } = parts;
  const oldest = runtime.now() - uploadExpiryMs;
  const staged = new Map<string, { readonly size: number; readonly modifiedAt: number }>();
  for await (const { id, size, modifiedAt } of blobs.listStaged()) {
    if (!isTransient(id)) staged.set(id, { size, modifiedAt });
  }
  let expired = 0;
  for await (const { id, startedAt } of metadata.sessions()) {
    const seen = staged.get(id);
    staged.delete(id);
    if (isStopped() || Math.max(startedAt, seen?.modifiedAt ?? 0) >= oldest || sessionLocks.isHeld(id)) continue;
    if (dryRun || (await attempt(parts, id, () => endSession(parts, id, seen?.size ?? 0))) === true) expired++;
  }
  for (const [id, { modifiedAt }] of staged) {
    if (modifiedAt >= oldest || dryRun || isStopped()) continue;
    await attempt(parts, id, async () => (await blobs.stage(id)).discard());
  }
  return expired;
}

/** Logs a failure, so that one upload does not stop the others: the next collection retries it. */
async function attempt<T>({ runtime }: ExpiryParts, id: string, task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task();
  } catch (cause) {
    runtime.log.error({ err: cause, upload: id }, 'upload expiry failed, retrying in the next collection');
    return undefined;
  }
}

/** Returns false when the upload continued or ended since it was examined. */
async function endSession(
  { blobs, metadata, sessionLocks }: ExpiryParts,
  id: SessionId,
  size: number,
): Promise<boolean> {
  return sessionLocks.run(id, async () => {
    const session = await metadata.session(id);
    if (session === undefined) return false;
    const staged = await blobs.stage(id);
    if (staged.size !== size) return false;
    await staged.discard();
    await metadata.apply([{ type: 'session.delete', id: session.id }], { durable: false });
    return true;
  });
}
