/** The import of the data folder of another registry: the content of the folder, and the report of the import. */
import type { Readable } from 'node:stream';
import type { Algorithm, Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { WorkOptions } from './backup.js';
import type { Actor } from '../metadata/journal.js';

/** The data folder of another registry, which must not change while it is read. Nothing here writes to it. */
export interface SourceRegistry {
  /** `distribution`: `docker/registry/v2` of CNCF distribution. `layouts`: OCI layouts, as zot has them. */
  readonly format: 'distribution' | 'layouts';
  /** Yields all images, by their path in the folder. */
  images(): AsyncIterable<SourceImage>;
}

/** One image of the folder. */
export interface SourceImage {
  /** The path of the image, which may be an invalid name. */
  readonly name: string;
  list(): Promise<SourceListing>;
  /** Finds the bytes of a manifest of the listing. */
  findManifest(digest: Digest): Promise<SourceFile | SourceFault>;
  /** Finds a blob that the image may show; `undefined` if it has none. */
  findBlob(digest: Digest): Promise<SourceFile | SourceFault | undefined>;
  /** Returns the moves of a tag from its oldest to its current digest, as far as the folder has them. */
  movesOf(tag: Tag): Promise<readonly SourceMove[]>;
}

/** The content of an image. Times are those of the files: when a manifest was pushed and a tag moved. */
export interface SourceListing {
  /** Manifests, tagged or not, each digest once. */
  readonly manifests: readonly { readonly digest: Digest; readonly at: number }[];
  readonly tags: readonly { readonly tag: Tag; readonly digest: Digest; readonly at: number }[];
  /** Entries that cannot be read. */
  readonly problems: readonly Omit<MigrationProblem, 'image'>[];
}

/** A tag named a digest since a time. */
export interface SourceMove {
  readonly digest: Digest;
  readonly at: number;
}

/** A file of the folder. */
export interface SourceFile {
  readonly path: string;
  readonly size: number;
  /** Returns its bytes. Emits an error when the signal aborts. */
  open(signal?: AbortSignal): Readable;
  /** Hashes its bytes. */
  digest(algorithm: Algorithm, signal?: AbortSignal): Promise<Digest>;
}

/** Why content of the folder cannot be used. */
export interface SourceFault {
  readonly problem: MigrationProblemKind;
  readonly message: string;
}

/**
 * `schema-1`: a manifest of Docker schema 1. `broken-link`: a file that should name a digest does not. `missing-*`: content
 * that is named but not there. `conflict`: other requests kept changing the content. `refused`: by a hook or a quota.
 */
export type MigrationProblemKind =
  | 'invalid-name'
  | 'invalid-tag'
  | 'invalid-layout'
  | 'invalid-manifest'
  | 'schema-1'
  | 'broken-link'
  | 'missing-manifest'
  | 'missing-blob'
  | 'wrong-size'
  | 'wrong-digest'
  | 'unreadable'
  | 'conflict'
  | 'refused';

/** Something that was not imported. */
export interface MigrationProblem extends SourceFault {
  readonly image: string;
  /** The tags that are missing because of it. */
  readonly tags: readonly string[];
  /** The manifest that was not imported. */
  readonly manifest?: Digest | undefined;
  /** The content of the manifest that has the problem. */
  readonly blob?: Digest | undefined;
}

/**
 * The target and the settings of an import. Its progress counts images. When the signal aborts, the import finishes the
 * current step; the content that it stored stays, and another import continues.
 */
export interface MigrationOptions extends WorkOptions {
  /** A local repository. */
  readonly repository: string;
  /**
   * Copies the files, for a folder whose files someone may still write to.
   * @default false: links, and copies what cannot be linked
   */
  readonly copy?: boolean | undefined;
  /** Hashes every blob before it is added. Manifests and copies are always hashed. @default false */
  readonly verify?: boolean | undefined;
  /** Reads everything and writes nothing. @default false */
  readonly dryRun?: boolean | undefined;
  /** The actor to attribute the changes to. */
  readonly by: Actor;
  /** Called for each problem as it is found. */
  readonly onProblem?: ((problem: MigrationProblem) => void) | undefined;
  /** Called after each durable write that added something. The import waits for it. */
  readonly onStored?: (() => Promise<void>) | undefined;
}

/** The result of an import, or of a dry run. */
export interface MigrationReport {
  readonly format: SourceRegistry['format'];
  readonly repository: string;
  readonly dryRun: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly images: number;
  readonly manifests: MigrationCount;
  readonly tags: MigrationCount & {
    /**
     * Tags that name another digest and stay: immutable ones, and those that moved here after they moved in the folder.
     */
    readonly kept: number;
  };
  /** Blobs, manifests included, that the data folder did not have. */
  readonly blobs: {
    readonly added: number;
    readonly bytes: number;
    readonly copied: number;
    readonly copiedBytes: number;
  };
  /** Earlier digests of tags that were added to their history. */
  readonly moves: number;
  readonly problems: number;
}

/** `present`: items that the repository already had. */
export interface MigrationCount {
  readonly added: number;
  readonly present: number;
}

/** A folder that a running registry is asked to import. */
export interface ImportFolder {
  /** As the caller names it. */
  readonly name: string;
  /** Its place: below a `root` that the options allow to read, and that no symbolic link may lead out of. */
  readonly candidates: readonly { readonly root: string; readonly source: string }[];
}
