import type { BlobStore } from '../../ports/bytes.js';
import type { SourceFault, SourceFile } from '../../ports/operations/migration.js';
import type { Runtime } from '../../ports/runtime.js';
import { algorithmOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { adoptTransient, stageTransient } from '../content/transient-staging.js';
import type { MigrationTally } from './migration-tally.js';

/** Errors of the system that concern one file of the source. */
const fileErrors = ['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EIO', 'ELOOP'];

/** A blob or manifest to import. */
export interface IntakeItem {
  readonly digest: Digest;
  readonly file: SourceFile;
  /** Its digest was checked. */
  readonly isVerified: boolean;
}

export interface IntakeOptions {
  readonly copy: boolean;
  readonly verify: boolean;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Brings the content that manifests name into the store before they are recorded. */
export interface ContentIntake {
  /** Returns the fault that was found in the file of a digest. */
  faultOf(digest: Digest): SourceFault | undefined;
  /**
   * Imports a file; notes a fault of the file.
   * @throws the error when it does not concern this file alone, such as a full disk.
   */
  take(item: IntakeItem): Promise<void>;
}

/** The intake for content that is in the store already. */
export const storedIntake: ContentIntake = { faultOf: () => undefined, take: async () => undefined };

/** Imports files of the source into the store, unless it has their digests. */
export class BlobIntake implements ContentIntake {
  readonly #parts: { readonly blobs: BlobStore; readonly runtime: Runtime };
  readonly #tally: MigrationTally;
  readonly #options: IntakeOptions;
  /** Files with a fault, so that a damaged blob of many images is hashed only once. */
  readonly #faults = new Map<Digest, SourceFault>();
  /** In a dry run: the files that would have been added. */
  readonly #counted = new Set<Digest>();

  constructor(
    parts: { readonly blobs: BlobStore; readonly runtime: Runtime },
    tally: MigrationTally,
    options: IntakeOptions,
  ) {
    this.#parts = parts;
    this.#tally = tally;
    this.#options = options;
  }

  faultOf(digest: Digest): SourceFault | undefined {
    return this.#faults.get(digest);
  }

  async take(item: IntakeItem): Promise<void> {
    const { digest, file } = item;
    if (this.#faults.has(digest) || this.#counted.has(digest)) return;
    if ((await this.#parts.blobs.stat(digest))?.size === file.size) return;
    try {
      await this.#add(item);
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      this.#faults.set(digest, toFault(error));
    }
  }

  async #add({ digest, file, isVerified }: IntakeItem): Promise<void> {
    const { verify, dryRun, copy, signal } = this.#options;
    if (verify && !isVerified) {
      const found = await file.digest(algorithmOf(digest), signal);
      if (found !== digest)
        throw new RegistryError('DIGEST_INVALID', { message: `${file.path} has the digest ${found}` });
    }
    if (dryRun) this.#counted.add(digest);
    const isCopy = dryRun ? copy : copy || !(await this.#link(digest, file));
    if (isCopy && !dryRun) await this.#copy(digest, file);
    this.#tally.countBlob(file.size, isCopy);
  }

  /** Returns false when the store cannot link the file. */
  async #link(digest: Digest, { path, size }: SourceFile): Promise<boolean> {
    try {
      return (await adoptTransient(this.#parts, { path, digest, size })) !== undefined;
    } catch (error) {
      if (codeOf(error) !== 'EPERM') throw error;
      throw new RegistryError('CONFLICT', {
        message: `cannot link ${path}: Linux refuses links to files of another user, and some file systems have none: run as the owner of the files or as root, or copy`,
        cause: error,
      });
    }
  }

  async #copy(digest: Digest, file: SourceFile): Promise<void> {
    await this.#parts.blobs.ensureRoom(file.size);
    const staged = await stageTransient(this.#parts, 'once', algorithmOf(digest));
    const source = file.open(this.#options.signal);
    try {
      await staged.append(source);
      await staged.commit(digest);
    } catch (error) {
      source.destroy();
      await staged.discard();
      throw error;
    }
  }
}

/** @throws the error when it does not concern one file alone. */
function toFault(error: unknown): SourceFault {
  if (error instanceof RegistryError) {
    const { code, message } = error;
    if (code === 'DIGEST_INVALID') return { problem: 'wrong-digest', message };
    if (code === 'SIZE_INVALID') return { problem: 'wrong-size', message };
  }
  const cause = error instanceof Error && codeOf(error) === undefined ? error.cause : error;
  if (cause instanceof Error && fileErrors.includes(codeOf(cause) ?? ''))
    return { problem: 'unreadable', message: cause.message };
  throw error;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
