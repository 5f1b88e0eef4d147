import type { Documents } from '../ports/metadata/documents.js';
import type { MetadataWriter } from '../ports/metadata/metadata.js';

/**
 * What an index knows about the command that fills it before a registry starts: `source` is a copy of another registry,
 * `rebuild` one from the bytes alone.
 */
export interface FillRecord {
  /** Of a copy: the id of the source's index. */
  readonly registry?: string;
  readonly startedAt: number;
  /** Absent while the command is not done. */
  readonly finishedAt?: number;
}

const kind = 'storage-copy';
const commands = { source: 'storage copy', rebuild: 'storage rebuild' } as const;

/** What fills an index. */
export type Filling = keyof typeof commands;

/** Returns the record of what fills an index, if it has one. */
export async function readFillRecord(documents: Documents, id: Filling): Promise<FillRecord | undefined> {
  // Only this module writes documents of the kind.
  return (await documents.document(kind, id)) as FillRecord | undefined;
}

/** Notes how far it is. */
export async function writeFillRecord(writer: MetadataWriter, id: Filling, value: FillRecord): Promise<void> {
  await writer.apply([{ type: 'document.put', kind, id, value }], { durable: true });
}

/**
 * Ends what fills an index: from now on it belongs to a running registry, and another pass would undo its changes.
 * @throws Error when the index is incomplete.
 */
export async function endFilling(index: Documents & MetadataWriter): Promise<void> {
  for (const { id, value } of await index.documents(kind)) {
    const { finishedAt } = value as FillRecord;
    if (finishedAt === undefined)
      throw new Error(`the index of this storage is incomplete: run "artifactapi ${commands[id as Filling]}" again`);
    await index.apply([{ type: 'document.delete', kind, id }], { durable: true });
  }
}
