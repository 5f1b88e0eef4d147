/** Rebuilding an index from the bytes alone. */
import type { Digest } from '../../protocol/digest.js';
import type { WorkOptions } from './backup.js';
import type { MigrationProblem, MigrationReport } from './migration.js';

/** What a rebuild does. */
export interface RebuildOptions extends WorkOptions {
  /** A local repository, which gets everything as one image. */
  readonly repository: string;
  readonly image: string;
  /** Whether annotations with the name of a reference become tags. */
  readonly hasTags: boolean;
  /** Adopts a bucket that belongs to another index. */
  readonly adopts: boolean;
  /** Reads everything and writes nothing to the storage. */
  readonly dryRun: boolean;
}

/** Stored bytes that cannot be used: they do not have the digest with which they were stored, or cannot be read. */
export interface DamagedObject {
  /** A path in the data folder, or a key in the bucket. */
  readonly name: string;
  readonly expected?: Digest | undefined;
  readonly problem: 'digest' | 'unreadable';
}

/** The result of a rebuild. Times are milliseconds since the epoch. In a dry run, what a rebuild would do. */
export interface RebuildReport extends Pick<MigrationReport, 'manifests' | 'tags'> {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly dryRun: boolean;
  readonly repository: string;
  readonly image: string;
  /** Everything that is stored. */
  readonly objects: number;
  readonly bytes: number;
  /** Intact content other than manifests. */
  readonly blobs: number;
  /** What keeps manifests and tags from being recorded: content that they name is missing or damaged. */
  readonly incomplete: readonly MigrationProblem[];
  readonly damaged: readonly DamagedObject[];
  /** The index to which the bucket belonged before. */
  readonly formerStore?: string | undefined;
}
