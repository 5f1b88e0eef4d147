import type { Documents } from '../../ports/metadata/documents.js';
import type { MetadataWriter } from '../../ports/metadata/metadata.js';

/** What the target of a copy knows about it. Removed when a registry starts on the target. */
export interface CopyRecord {
  /** The id of the source's index. */
  readonly registry: string;
  readonly startedAt: number;
  /** Absent while the copy is incomplete. */
  readonly finishedAt?: number;
}

const kind = 'storage-copy';
const id = 'source';

/** Returns the record of the copy into an index, if it has one. */
export async function readCopyRecord(documents: Documents): Promise<CopyRecord | undefined> {
  // Only this module writes documents of the kind.
  return (await documents.document(kind, id)) as CopyRecord | undefined;
}

/** Notes how far a copy is. */
export async function writeCopyRecord(writer: MetadataWriter, value: CopyRecord): Promise<void> {
  await writer.apply([{ type: 'document.put', kind, id, value }], { durable: true });
}

/**
 * Ends the copy into an index: from now on it is a registry of its own, and another pass would undo its changes.
 * @throws Error when the copy is incomplete.
 */
export async function endCopy(index: Documents & MetadataWriter): Promise<void> {
  const record = await readCopyRecord(index);
  if (record === undefined) return;
  if (record.finishedAt === undefined)
    throw new Error('the copy into this storage is incomplete: run "artifactapi storage copy" again');
  await index.apply([{ type: 'document.delete', kind, id }], { durable: true });
}
