/** Who changed what: the actor of a change, the journal of all changes, and the history of each tag. */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { EventType } from '../../protocol/tables/documents/event-documents.js';
import type { ImageKey } from './images.js';

/** The originator of a change, as events, the journal and log lines show it. Contains no secrets. */
export interface Actor {
  /** The id of the principal; `anonymous` for a user who did not log in. */
  readonly principal: string;
  /** The kind of authentication. `code`: the host application called the registry's methods. `system`: the registry itself. */
  readonly via: 'anonymous' | 'basic' | 'bearer' | 'host' | 'session' | 'code' | 'job' | 'system';
  readonly requestId?: string | undefined;
  /** The client's address, as far as trusted proxies report it. */
  readonly address?: string | undefined;
  /** The `Host` header that the client sent. */
  readonly host?: string | undefined;
  /** Set if the client used https, as far as trusted proxies report it. */
  readonly secure?: true | undefined;
  readonly userAgent?: string | undefined;
}

/** Attributes a write to an actor: the driver then records what the write changed in the journal. */
export interface Attribution {
  readonly actor: Actor;
  /** The time of the change. */
  readonly at: number;
  /** Whether an administrator overrode the protection of immutable tags. */
  readonly override?: true | undefined;
}

/** The kind of a change: a noun and a past participle, as in the names of events. */
export type JournalType = EventType;

/** One change. Fields that do not apply are absent. */
export interface JournalEntry {
  /** Increases with each entry, with gaps. A later entry never has a smaller number. */
  readonly seq: number;
  readonly at: number;
  readonly type: JournalType;
  readonly by: Actor;
  readonly repository?: string;
  readonly image?: string;
  readonly tag?: Tag;
  /** The manifest, or the new digest of a tag. */
  readonly digest?: Digest;
  /** The previous digest of a tag. */
  readonly was?: Digest;
  /** The media type of a pushed manifest. */
  readonly mediaType?: string;
  /** Set when an administrator overrode the protection of immutable tags. */
  readonly override?: true;
  /** The id of the document: of access control, of a job or a sync. */
  readonly id?: string;
}

/** A page of the journal, in ascending order after a cursor or in descending order before one. */
export type JournalPage =
  { readonly after: number; readonly limit: number } | { readonly before: number; readonly limit: number };

/** A change of a tag. `digest` is absent when the tag was deleted, `was` when it did not exist before. */
export interface TagMove {
  /** The number of the move, from 1. */
  readonly move: number;
  readonly at: number;
  readonly by: Actor;
  readonly digest?: Digest;
  readonly was?: Digest;
}

/** The journal of all attributed changes, and the history of tags. Part of the index. */
export interface Journal {
  /** Returns entries after a cursor, oldest first, or before one, newest first. */
  read(page: JournalPage): Promise<readonly JournalEntry[]>;
  /** Returns the moves of a tag, newest first; `before` is the number of a move. The last 100 are kept. */
  moves(
    at: ImageKey,
    tag: Tag,
    page: { readonly limit: number; readonly before?: number },
  ): Promise<readonly TagMove[]>;
  /**
   * Returns when each manifest of an image last lost a tag, moved or deleted ones included. Reads all moves that are
   * kept.
   */
  losses(at: ImageKey): Promise<ReadonlyMap<Digest, number>>;
  /**
   * Removes a bounded number of entries that are older than a time or exceed the maximum number, but never the newest
   * one. With the entry of a deleted tag, the history of the tag goes too, unless the tag exists again. Returns true
   * while there is more.
   */
  trim(limits: { readonly before: number; readonly maxEntries: number }): Promise<boolean>;
  /**
   * Returns the highest number that `trim` has removed; 0 if it removed none. Changes in the same write as the removal. A
   * reader whose cursor is smaller has missed entries.
   */
  trimmedTo(): Promise<number>;
}
