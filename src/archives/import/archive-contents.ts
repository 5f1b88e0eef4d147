import type { Readable } from 'node:stream';
import type { ReceivedBlob } from '../../ports/repository.js';
import { archiveInvalid, digestOfPath } from '../../protocol/manifests/archive.js';
import { algorithmOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { countValues } from '../../protocol/json.js';
import { maxManifestBytes } from '../../protocol/manifests/manifest.js';
import { Semaphore } from '../../util/scheduling/concurrency.js';
import { isOnlyListener } from '../../util/streams/source-listener.js';
import { drain, readBounded } from '../../util/streams/streams.js';
import type { TurnGate } from '../../util/scheduling/turns.js';
import { unpack } from './archive-bytes.js';
import { explainTarError, readEntries, type ArchiveEntry } from '../tar/archive-entries.js';
import { SmallFiles, smallFile, type ReceiveFile } from './small-file.js';

/** Files that old versions of `docker save` add for Docker before 1.10. */
const legacyPattern = /^(?:repositories|[0-9a-f]{64}\/(?:json|VERSION))$/;
/** Old versions write a layer that two images share only once, and a link to it for the second image. */
const linkedLayerPattern = /(?:^|\/)layer\.tar$/;
const maxLinks = 8;
/** Maximum total size of the JSON documents of an archive, which are held in memory. */
const maxDocumentsBytes = 32 * 1024 * 1024;
/** Maximum number of values in all JSON documents of an archive: ten times as many as a `docker save` of a hundred images has. */
const maxDocumentsValues = 500_000;
/** Files received in one turn of the event loop. */
const filesPerTurn = 32;
const maxDiscards = 16;

/** The received files of an archive, not published yet. Files whose path is a digest are verified. */
export class ArchiveContents {
  readonly #files = new Map<string, ReceivedBlob>();
  readonly #links = new Map<string, string>();
  readonly #small = new SmallFiles();
  readonly #staged: ReceivedBlob[] = [];
  readonly #gate: TurnGate;
  #documentsBytes = 0;
  #documentsValues = 0;

  private constructor(gate: TurnGate) {
    this.#gate = gate;
  }

  /** Receives a whole archive. Discards all files if it throws. */
  static async receive(source: Readable, receive: ReceiveFile, gate: TurnGate): Promise<ArchiveContents> {
    const contents = new ArchiveContents(gate);
    let files = 0;
    try {
      for await (const entry of readEntries(unpack(source, gate), isOnlyListener(source))) {
        await contents.#take(entry, receive);
        // All imports share one turn, regardless of the size of their files.
        if (++files % filesPerTurn === 0) await gate.pass(Infinity);
      }
      return contents;
    } catch (error) {
      await contents.discard();
      throw error;
    }
  }

  has(path: string): boolean {
    return this.find(path) !== undefined;
  }

  /** Returns the file at a path, after following links. */
  find(path: string): ReceivedBlob | undefined {
    let at: string | undefined = path;
    for (let links = 0; at !== undefined && links < maxLinks; links++) {
      const file = this.#files.get(at);
      if (file !== undefined) return file;
      at = this.#links.get(at);
    }
    return undefined;
  }

  /**
   * Reads a JSON document, in a turn of the event loop in which no other large document is parsed.
   * @throws RegistryError ARCHIVE_INVALID if it does not exist; SIZE_INVALID if it or all documents together are too large.
   */
  async readDocument(path: string): Promise<Buffer> {
    const file = this.find(path);
    if (file === undefined) throw archiveInvalid(`the archive has no file "${path}"`);
    this.#documentsBytes += file.size;
    if (file.size > maxManifestBytes || this.#documentsBytes > maxDocumentsBytes) {
      throw new RegistryError('SIZE_INVALID', {
        status: 413,
        message: `the file "${path}" in the archive is too large`,
        detail: { size: file.size, maxBytes: maxManifestBytes, maxBytesTogether: maxDocumentsBytes },
      });
    }
    const bytes = await file.read();
    await this.#gate.pass(bytes.length);
    this.#documentsValues += countValues(bytes);
    if (this.#documentsValues <= maxDocumentsValues) return bytes;
    throw new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `the documents in the archive have more than ${maxDocumentsValues} values`,
    });
  }

  /** Discards all files that were not published. */
  async discard(): Promise<void> {
    const discards = new Semaphore(maxDiscards);
    await Promise.all(this.#staged.map((file) => discards.run(() => file.discard())));
  }

  async #take(entry: ArchiveEntry, receive: ReceiveFile): Promise<void> {
    const { path, target, bytes } = entry;
    if (target !== undefined) this.#addLink(path, target);
    if (target !== undefined || legacyPattern.test(path)) {
      await drain(bytes, { maxBytes: Infinity, maxMs: 2 ** 31 - 1 });
      return;
    }
    const digest = digestOfPath(path);
    const file = await this.#receive(receive, entry, digest);
    const before = this.find(path);
    if ((digest ?? file.digest) === file.digest && before === undefined) {
      this.#files.set(path, file);
      return;
    }
    await file.discard();
    if (digest !== undefined && digest !== file.digest) throw digestDiffers(path, digest, file.digest);
    if (before?.digest !== file.digest) throw archiveInvalid(`the archive has two different files "${path}"`);
  }

  async #receive(
    receive: ReceiveFile,
    { bytes, size }: ArchiveEntry,
    digest: Digest | undefined,
  ): Promise<ReceivedBlob> {
    const algorithm = digest === undefined ? 'sha256' : algorithmOf(digest);
    try {
      if (this.#small.reserve(size)) {
        return smallFile((await readBounded(bytes, size)) ?? Buffer.alloc(0), algorithm, receive);
      }
      const file = await receive(bytes, algorithm, size);
      this.#staged.push(file);
      return file;
    } catch (error) {
      // The file is truncated because the archive is; its error has the reason.
      throw explainTarError(error);
    }
  }

  #addLink(path: string, target: string): void {
    if (!linkedLayerPattern.test(path))
      throw archiveInvalid(`the file "${path}" in the archive is a link: only layer.tar may be a link`);
    if (this.#links.has(path) || this.#files.has(path))
      throw archiveInvalid(`the archive has the file "${path}" twice`);
    this.#links.set(path, target);
  }
}

/** Returns the error for a file with another digest than its path or its reference says. */
export function digestDiffers(path: string, expected: Digest, found: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `the file "${path}" in the archive does not match its digest`,
    detail: { path, expected, found },
  });
}
