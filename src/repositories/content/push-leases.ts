import { LRUCache } from 'lru-cache';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Caller } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';

/**
 * The minimum time for which a blob stays that a client may need for a push. An upload without progress for this long
 * counts as abandoned.
 */
export const minLeaseMs = 15 * 60_000;
/** The number of blobs and images that are remembered. Beyond it, the times in the index still protect uploaded blobs. */
const maxNotes = 50_000;
const maxImages = 10_000;
/** The number of clients that are remembered for one blob. */
const maxClients = 1000;

type Client = Pick<Caller, 'actor'>;

interface Note {
  at: number;
  /** The number of times that each client learned about the blob since it last pushed a manifest that names it. */
  readonly clients: Map<string, number>;
}

/**
 * Remembers in memory which blobs were reported to clients as present, until the clients push the manifest that names them.
 * The index records this only for uploads and, roughly, for blobs that no manifest names. A collection without a grace period
 * needs to know it exactly, so that a running push does not lose a layer that another client deletes. Processes that share
 * an index do not know what the others reported: there, the time of the link records it (see `renewLease`).
 */
export class PushLeases {
  readonly #now: () => number;
  readonly #notes = new LRUCache<string, Note>({ maxSize: maxNotes, sizeCalculation: () => 1 });
  readonly #uploads = new LRUCache<string, number>({ maxSize: maxImages, sizeCalculation: () => 1 });
  readonly #drops = new Map<string, Promise<unknown>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Notes that the registry reports the blob to a client as present in the image. Returns a drop of its link that already
   * began: wait for it, and read the link again afterwards. A later drop sees the note.
   */
  note(client: Client, at: ImageKey, digest: Digest): Promise<unknown> | undefined {
    const key = keyOf(at, digest);
    let note = this.#notes.get(key);
    if (note === undefined) this.#notes.set(key, (note = { at: 0, clients: new Map<string, number>() }));
    note.at = this.#now();
    const { clients } = note;
    const who = identify(client);
    if (clients.has(who) || clients.size < maxClients) clients.set(who, (clients.get(who) ?? 0) + 1);
    return this.#drops.get(key);
  }

  /** Notes that the client uploaded or mounted the blob. */
  async noteUpload(client: Client, at: ImageKey, digest: Digest): Promise<void> {
    this.#uploads.set(nameOf(at), this.#now());
    await this.note(client, at, digest);
  }

  /** Notes that the client pushed a manifest that names the blobs, so it no longer needs them for this push. */
  use(client: Client, at: ImageKey, digests: readonly Digest[]): void {
    const who = identify(client);
    for (const digest of digests) {
      const key = keyOf(at, digest);
      const clients = this.#notes.get(key)?.clients;
      const left = (clients?.get(who) ?? 0) - 1;
      if (left > 0) clients?.set(who, left);
      else clients?.delete(who);
      if (clients?.size === 0) this.#notes.delete(key);
    }
  }

  /** Returns when a client that has not pushed its manifest yet last learned about the blob. */
  notedAt(at: ImageKey, digest: Digest): number | undefined {
    return this.#notes.peek(keyOf(at, digest))?.at;
  }

  /** Returns when a blob was last uploaded to the image or mounted into it. */
  uploadedAt(at: ImageKey): number | undefined {
    return this.#uploads.peek(nameOf(at));
  }

  /** Runs a task that drops the link. Check `notedAt` immediately before the call, without an `await` in between. */
  async drop<T>(at: ImageKey, digest: Digest, task: () => Promise<T>): Promise<T> {
    const key = keyOf(at, digest);
    const running = task();
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    this.#drops.set(key, settled);
    try {
      return await running;
    } finally {
      this.#drops.delete(key);
    }
  }
}

function identify({ actor }: Client): string {
  return `${actor.principal} ${actor.address ?? ''}`;
}

function nameOf({ repository, image }: ImageKey): string {
  return `${repository}/${image}`;
}

function keyOf(at: ImageKey, digest: Digest): string {
  return `${nameOf(at)}@${digest}`;
}
