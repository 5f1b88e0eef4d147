import type { JournalEntry, TagMove } from '../../ports/metadata/journal.js';
import type { ManifestRecord } from '../../ports/metadata/images.js';
import type { BlobLink, TagRecord } from '../../ports/metadata/metadata.js';
import type { Sample, SampleStep } from '../../ports/operations/monitoring.js';
import type { PullRecord } from '../../ports/metadata/pulls.js';
import type { TrashItem } from '../../ports/metadata/trash.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { IndexRow, RowPlace, SourceEntry } from '../index-rows.js';
import { splitKey, type StoredImage, type StoredRepository } from './level-keys.js';
import { decodeValue } from './level-view.js';

/** Families that belong to one index, or whose bytes do not come along. */
const own: ReadonlySet<string> = new Set([
  'batch',
  'check',
  'session',
  'store-id',
  'place',
  'staged',
  'trash',
  'trash-due',
]);
/**
 * Documents that do not come along: jobs run where they were started, and damage describes bytes that are checked when they
 * are copied.
 */
const ownDocuments: ReadonlySet<string> = new Set(['job', 'damage', 'storage-copy']);

/** Returns whether an entry describes content, and not this index or its object store. */
export function isContent(key: string): boolean {
  const [owner, family, kind = ''] = splitKey(key);
  if (owner !== '!') return family !== 'session';
  return family === 'record' ? !ownDocuments.has(kind) : !own.has(family);
}

/** Returns an entry and what it means. */
export function toEntry(key: string, text: string): SourceEntry {
  const [owner, family, ...rest] = splitKey(key);
  const value = decodeValue(text);
  return { key, text, row: owner === '!' ? globalRow(family, rest, value) : heldRow(owner, family, rest, value) };
}

// In both functions, the family of a key determines the type of its value, and its parts.

function globalRow(family: string, [part = '', ...rest]: readonly string[], value: unknown): IndexRow | undefined {
  const digest = part as Digest;
  switch (family) {
    case 'repository':
      return { table: 'repository', ...(value as StoredRepository) };
    case 'purging':
      return { table: 'deleted', id: part, deletedAt: value as number };
    case 'record':
      return { table: 'document', kind: part, id: rest.join('\0'), value: value as object };
    case 'journal':
      return { table: 'journal', entry: value as JournalEntry };
    case 'trimmed':
      return { table: 'trimmed', seq: value as number };
    case 'sample':
      return { table: 'sample', step: part as SampleStep, sample: value as Sample };
    case 'stored':
      return { table: 'stored', digest, size: value as number };
    case 'condemned':
      return { table: 'condemned', digest };
    case 'since':
      return { table: 'candidate', digest, since: value as number };
    default:
      return undefined;
  }
}

function heldRow(id: string, family: string, rest: readonly string[], value: unknown): IndexRow | undefined {
  const [image = '', part = '', last = ''] = rest;
  const at: RowPlace = { id, image };
  const digest = part as Digest;
  switch (family) {
    case 'image': {
      const { record, links, trashed = 0 } = value as StoredImage;
      return { table: 'image', at, record, links, trashed };
    }
    case 'link':
    case 'unlinked':
      return { table: family, at, digest, link: value as BlobLink };
    case 'manifest':
      return { table: 'manifest', at, record: value as ManifestRecord };
    case 'trashed':
      return { table: 'trashed', at, item: value as TrashItem };
    case 'named':
    case 'kept':
      return { table: 'named', at, digest, manifest: last as Digest, inTrash: family === 'kept' };
    case 'tag':
      return { table: 'tag', at, record: value as TagRecord };
    case 'history':
      return { table: 'move', at, tag: part as Tag, move: value as TagMove };
    case 'pulls':
      return { table: 'pulled', at, record: value as PullRecord };
    case 'touched':
      return { table: 'touched', at, digest, touchedAt: value as number };
    case 'since':
      return { table: 'linkCandidate', at, digest, since: value as number };
    default:
      return undefined;
  }
}
