import { z } from '../../zod.js';
import { parseDigest, type Digest } from '../../digest.js';
import { RegistryError } from '../../errors.js';
import { encodeDocument, encodeTime, problemsFound } from './encoding.js';
import { describeProblems, strictOptions } from '../../settings/option-schema.js';

/** The result of a garbage collection. Times are in milliseconds since the epoch. */
export interface GarbageReport {
  readonly dryRun: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** The number of candidates examined. */
  readonly examined: number;
  readonly unlinked: number;
  readonly blobsDeleted: number;
  readonly bytesFreed: number;
  /** The number of orphans moved to the quarantine: blobs with neither a reference nor a candidate. */
  readonly quarantined: number;
  readonly quarantinedBytes: number;
  /** The number of blobs that left the quarantine because the index refers to them again. */
  readonly restored: number;
  readonly uploadsExpired: number;
  /** The number of manifests whose time in the trash was over. */
  readonly trashExpired: number;
  /** Present if the caller shortened the grace period: what nothing refers to and that stays for now. */
  readonly pending?: PendingGarbage | undefined;
}

/** Garbage that is not freed yet, because its grace period has not passed or a client may be about to name it. */
export interface PendingGarbage {
  readonly blobs: number;
  readonly bytes: number;
  /** When all of it can be freed, unless a push uses or renews it. Absent if there is none. */
  readonly untilAt?: number;
}

/** A blob in quarantine. Times are in milliseconds since the epoch. */
export interface QuarantinedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly quarantinedAt: number;
  readonly expiresAt: number;
}

/** Returns the report of a garbage collection as the API shows it. */
export function encodeCollection(report: GarbageReport): Record<string, unknown> {
  return {
    dry_run: report.dryRun,
    started_at: encodeTime(report.startedAt),
    finished_at: encodeTime(report.finishedAt),
    examined: report.examined,
    unlinked: report.unlinked,
    blobs_deleted: report.blobsDeleted,
    bytes_freed: report.bytesFreed,
    quarantined: report.quarantined,
    quarantined_bytes: report.quarantinedBytes,
    restored: report.restored,
    uploads_expired: report.uploadsExpired,
    trash_expired: report.trashExpired,
    ...(report.pending === undefined ? {} : { pending: encodeDocument(report.pending) }),
  };
}

/** Returns a quarantined blob as the API shows it. */
export function encodeQuarantined(blob: QuarantinedBlob): Record<string, unknown> {
  return {
    digest: blob.digest,
    size_bytes: blob.size,
    quarantined_at: encodeTime(blob.quarantinedAt),
    expires_at: encodeTime(blob.expiresAt),
  };
}

const digestSchema = z.pipe(
  z.string(),
  z.transform((text, context): Digest => {
    try {
      return parseDigest(text);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input: text });
      return z.NEVER;
    }
  }),
);
const digestsSchema = strictOptions({ digests: z.array(digestSchema).check(z.minLength(1), z.maxLength(1000)) });
const allSchema = strictOptions({ all: z.literal(true) });

/** Decodes the blobs to restore: `{"digests": […]}` or `{"all": true}`. @throws RegistryError OPTIONS_INVALID. */
export function decodeRestore(document: unknown): readonly Digest[] | 'all' {
  const isAll = typeof document === 'object' && document !== null && 'all' in document;
  const checked = (isAll ? allSchema : digestsSchema).safeParse(document);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  return 'all' in checked.data ? 'all' : checked.data.digests;
}
