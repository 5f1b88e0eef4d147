import { takeTurns } from '../../util/scheduling/turns.js';
import {
  repositoryPrefix,
  type Key,
  type Place,
  type Prefix,
  type RepositoryId,
  type StoredRepository,
} from './level-keys.js';

/** The index as last written, below a view. A member is the rest of a key after its prefix. */
export interface LevelBase {
  get<T>(key: Key<T>): T | undefined;
  /** Returns the members in byte order. */
  members(prefix: Prefix, limit?: number): Promise<string[]>;
  hasMembers(prefix: Prefix): Promise<boolean>;
  /** Returns the names of all repositories. */
  repositoryNames(): readonly string[];
}

/** One operation of a batch. `text` is the JSON that LevelDB stores. */
export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: unknown; readonly text: string }
  | { readonly type: 'del'; readonly key: string };

/** One layer of writes. `undefined` marks a deletion. */
class Layer {
  readonly values = new Map<string, unknown>();
  /** The bytes by which the layer changes the size of images, by `<repository id>|<image>`. */
  readonly growth = new Map<string, number>();
  /** By prefix, so that reading a list does not scan all writes. */
  readonly members = new Map<Prefix, Map<string, boolean>>();

  get isEmpty(): boolean {
    return this.values.size === 0 && this.members.size === 0;
  }

  mergeInto(below: Layer): void {
    for (const [key, value] of this.values) below.values.set(key, value);
    for (const [place, bytes] of this.growth) below.growth.set(place, (below.growth.get(place) ?? 0) + bytes);
    for (const [prefix, members] of this.members) {
      const target = below.members.get(prefix);
      if (target === undefined) below.members.set(prefix, members);
      else for (const [member, present] of members) target.set(member, present);
    }
  }
}

/**
 * The index as one group of writes sees it: the written data, the accepted writes of the group, and on top a draft of
 * the current write, which is kept or dropped as a whole.
 */
export class LevelView {
  readonly #base: LevelBase;
  #kept = new Layer();
  #draft = new Layer();

  constructor(base: LevelBase) {
    this.#base = base;
  }

  get<T>(key: Key<T>): T | undefined {
    for (const layer of [this.#draft, this.#kept]) {
      const value = layer.values.get(key);
      // `put` accepts only values of the key's type.
      if (value !== undefined || layer.values.has(key)) return value as T | undefined;
    }
    return this.#base.get(key);
  }

  put<T>(key: Key<T>, value: T): void {
    this.#draft.values.set(key, value);
  }

  delete(key: Key<unknown>): void {
    this.#draft.values.set(key, undefined);
  }

  /** Notes that the draft changes the size of an image. */
  grow({ id, image }: Place, bytes: number): void {
    const place = `${id}\0${image}`;
    if (bytes !== 0) this.#draft.growth.set(place, (this.#draft.growth.get(place) ?? 0) + bytes);
  }

  /** Returns how the accepted writes, or the draft, change the size of images, by `<repository id>|<image>`. */
  growth(layer: 'kept' | 'draft'): ReadonlyMap<string, number> {
    return (layer === 'kept' ? this.#kept : this.#draft).growth;
  }

  /** Returns the name of a repository that the draft or an accepted write creates. Reads all keys that they write. */
  createdRepository(id: RepositoryId): string | undefined {
    for (const { values } of [this.#draft, this.#kept]) {
      for (const [key, value] of values) {
        // Only repositories are stored under this prefix.
        if (key.startsWith(repositoryPrefix) && (value as StoredRepository | undefined)?.id === id)
          return key.slice(repositoryPrefix.length);
      }
    }
    return undefined;
  }

  /** Returns the names of all repositories. Reads all keys that the group writes. */
  repositoryNames(): readonly string[] {
    const names = new Set(this.#base.repositoryNames());
    for (const { values } of [this.#kept, this.#draft]) {
      for (const [key, value] of values) {
        if (!key.startsWith(repositoryPrefix)) continue;
        const name = key.slice(repositoryPrefix.length);
        if (value === undefined) names.delete(name);
        else names.add(name);
      }
    }
    return [...names];
  }

  /** Deletes a key that a scan returned. */
  deleteRaw(key: string): void {
    this.#draft.values.set(key, undefined);
  }

  addMember(prefix: Prefix, member: string): void {
    this.#setMember(prefix, member, true);
  }

  removeMember(prefix: Prefix, member: string): void {
    this.#setMember(prefix, member, false);
  }

  async hasMembers(prefix: Prefix): Promise<boolean> {
    const written = this.#writtenMembers(prefix);
    let removed = 0;
    for (const present of written.values()) {
      if (present) return true;
      removed += 1;
    }
    if (removed === 0) return this.#base.hasMembers(prefix);
    // Reads one more member than were removed: if that many exist, one of them remains.
    const below = await this.#base.members(prefix, removed + 1);
    return below.some((member) => !written.has(member));
  }

  /** Returns the members in no particular order. */
  async members(prefix: Prefix): Promise<string[]> {
    const written = this.#writtenMembers(prefix);
    const below = (await this.#base.members(prefix)).filter((member) => !written.has(member));
    return [...below, ...[...written].filter(([, present]) => present).map(([member]) => member)];
  }

  /** Accepts the draft into the group. */
  keep(): void {
    if (this.#kept.isEmpty) this.#kept = this.#draft;
    else this.#draft.mergeInto(this.#kept);
    this.#draft = new Layer();
  }

  /** Discards the draft. */
  drop(): void {
    this.#draft = new Layer();
  }

  /** Returns all accepted writes, each key once. Other requests take turns while it runs. */
  async operations(): Promise<Operation[]> {
    const operations: Operation[] = [];
    const turn = takeTurns();
    for (const [key, value] of this.#kept.values) {
      const others = turn();
      if (others !== undefined) await others;
      operations.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value, text: encode(value) });
    }
    for (const [prefix, members] of this.#kept.members) {
      for (const [member, present] of members) {
        const others = turn();
        if (others !== undefined) await others;
        const key = prefix + member;
        operations.push(present ? { type: 'put', key, value: '', text: '' } : { type: 'del', key });
      }
    }
    return operations;
  }

  #setMember(prefix: Prefix, member: string, present: boolean): void {
    let members = this.#draft.members.get(prefix);
    if (members === undefined) this.#draft.members.set(prefix, (members = new Map<string, boolean>()));
    members.set(member, present);
  }

  #writtenMembers(prefix: Prefix): ReadonlyMap<string, boolean> {
    const kept = this.#kept.members.get(prefix);
    const draft = this.#draft.members.get(prefix);
    if (kept === undefined) return draft ?? new Map<string, boolean>();
    return draft === undefined ? kept : new Map([...kept, ...draft]);
  }
}

function encode(value: unknown): string {
  return value === '' ? '' : JSON.stringify(value);
}

/** Decodes the stored text of a value; the inverse of `encode`. */
export function decodeValue(text: string): unknown {
  return text === '' ? '' : JSON.parse(text);
}
