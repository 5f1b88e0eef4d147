import type { Readable } from 'node:stream';
import type { ReceivedBlob, RepositoryWriter } from '../../ports/repository.js';
import { archiveInvalid, digestOfPath } from '../../protocol/archive.js';
import { algorithmOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { maxManifestBytes } from '../../protocol/manifest.js';
import { drain } from '../../util/streams.js';
import { unpack } from './archive-bytes.js';
import { explainTarError, readEntries, type ArchiveEntry } from '../tar/archive-entries.js';

/** What old versions of `docker save` write besides: the same facts for Docker before 1.10. */
const legacyPattern = /^(?:repositories|[0-9a-f]{64}\/(?:json|VERSION))$/;
/** Old versions write a layer that two images share once, and a link to it for the other. */
const linkedLayerPattern = /(?:^|\/)layer\.tar$/;
const maxLinks = 8;
/** All JSON of an archive together: as much as is held in memory. */
const maxDocumentsBytes = 32 * 1024 * 1024;

/** The files of an archive, received and verified where their path is a digest, and visible to nobody. */
export class ArchiveContents {
  readonly #files = new Map<string, ReceivedBlob>();
  readonly #links = new Map<string, string>();
  #documentsBytes = 0;

  /** Reads the archive to its end. What it throws with has left nothing behind. */
  static async receive(source: Readable, writer: RepositoryWriter): Promise<ArchiveContents> {
    const contents = new ArchiveContents();
    try {
      for await (const entry of readEntries(unpack(source))) await contents.#take(entry, writer);
      return contents;
    } catch (error) {
      await contents.discard();
      throw error;
    }
  }

  has(path: string): boolean {
    return this.find(path) !== undefined;
  }

  /** The file at a path, or that a link there stands for. */
  find(path: string): ReceivedBlob | undefined {
    let at: string | undefined = path;
    for (let links = 0; at !== undefined && links < maxLinks; links++) {
      const file = this.#files.get(at);
      if (file !== undefined) return file;
      at = this.#links.get(at);
    }
    return undefined;
  }

  /** A whole file, as JSON is read. @throws RegistryError ARCHIVE_INVALID when it is not there, SIZE_INVALID for a large one. */
  async readDocument(path: string): Promise<Buffer> {
    const file = this.find(path);
    if (file === undefined) throw archiveInvalid(`the archive has no ${path}`);
    this.#documentsBytes += file.size;
    if (file.size > maxManifestBytes || this.#documentsBytes > maxDocumentsBytes) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `${path} in the archive is too large`,
        detail: { size: file.size, maxBytes: maxManifestBytes, maxBytesTogether: maxDocumentsBytes },
      });
    }
    return file.read();
  }

  /** Drops all that was not published. */
  async discard(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.discard()));
  }

  async #take(entry: ArchiveEntry, writer: RepositoryWriter): Promise<void> {
    const { path, target, bytes } = entry;
    if (target !== undefined) this.#addLink(path, target);
    if (target !== undefined || legacyPattern.test(path)) {
      await drain(bytes, { maxBytes: Infinity, maxMs: 2 ** 31 - 1 });
      return;
    }
    const digest = digestOfPath(path);
    const file = await receive(writer, entry, digest);
    const before = this.find(path);
    if ((digest ?? file.digest) === file.digest && before === undefined) {
      this.#files.set(path, file);
      return;
    }
    await file.discard();
    if (digest !== undefined && digest !== file.digest) throw digestDiffers(path, digest, file.digest);
    if (before?.digest !== file.digest) throw archiveInvalid(`${path} is in the archive twice, and differs`);
  }

  #addLink(path: string, target: string): void {
    if (!linkedLayerPattern.test(path))
      throw archiveInvalid(`${path} in the archive is a link: only layer.tar may be one`);
    if (this.#links.has(path) || this.#files.has(path)) throw archiveInvalid(`${path} is in the archive twice`);
    this.#links.set(path, target);
  }
}

async function receive(
  writer: RepositoryWriter,
  { bytes, size }: ArchiveEntry,
  digest: Digest | undefined,
): Promise<ReceivedBlob> {
  try {
    return await writer.receiveBlob(bytes, digest === undefined ? 'sha256' : algorithmOf(digest), size);
  } catch (error) {
    // The file is cut because the archive is: why, is told there.
    throw explainTarError(error);
  }
}

/** A file is not what its path, or what names it, says. */
export function digestDiffers(path: string, expected: Digest, found: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `${path} in the archive has another digest than the archive says`,
    detail: { path, expected, found },
  });
}
