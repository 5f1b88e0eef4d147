import { parseDigest, type Digest } from '../../digest.js';
import type { TrashItemDocument } from '../../documents/repositories.js';
import { RegistryError } from '../../errors.js';
import { parseName, parseTag, type Tag } from '../../names.js';
import type { Problem } from '../../settings/option-schema.js';
import { encodeTime, problemsFound } from './encoding.js';
import { mapKeys, toSnakeCase } from '../spelling.js';

interface ShownItem {
  readonly at: { readonly image: string };
  readonly digest: Digest;
  readonly manifest: { readonly mediaType: string };
  readonly tags: readonly Tag[];
  readonly deletedAt: number;
  readonly until: number;
  readonly by?: TrashItemDocument['by'];
  readonly bytes: number;
}

/** Returns an item of the trash as the API shows it. */
export function encodeTrashItem({
  at,
  digest,
  manifest,
  tags,
  deletedAt,
  until,
  by,
  bytes,
}: ShownItem): TrashItemDocument {
  return {
    image: at.image,
    digest,
    media_type: manifest.mediaType,
    tags,
    deleted_at: encodeTime(deletedAt),
    // The cast: the same fields, in snake case.
    ...(by === undefined ? {} : { by: mapKeys(by, toSnakeCase) as NonNullable<TrashItemDocument['by']> }),
    until: encodeTime(until),
    bytes,
  };
}

/** Returns the cursor of an item for the parameter `last`. */
export function formatTrashPosition({ at, digest, until }: Pick<ShownItem, 'at' | 'digest' | 'until'>): string {
  return `${until}/${at.image}@${digest}`;
}

/** Parses a cursor; the inverse of `formatTrashPosition`. @throws RegistryError OPTIONS_INVALID. */
export function parseTrashPosition(text: string): { image: string; digest: Digest; until: number } {
  const parts = /^(?<until>[0-9]{1,16})\/(?<image>[^@]+)@(?<digest>.+)$/.exec(text)?.groups;
  if (parts === undefined) throw problemsFound([{ path: 'last', problem: 'is not the position of an item' }]);
  const { until = '', image = '', digest = '' } = parts;
  return { until: Number(until), image: parseName(image), digest: parseDigest(digest) };
}

/** The document of a restore. */
export interface RestoreTrash {
  readonly image: string;
  readonly digest: Digest;
  /** Instead of those that the manifest had. */
  readonly tags?: readonly Tag[];
}

const known = new Set(['image', 'digest', 'tags']);

/** Decodes the document of a restore. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeRestoreTrash(document: unknown): RestoreTrash {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const { image, digest, tags } = document as Record<string, unknown>;
  const problems: Problem[] = Object.keys(document)
    .filter((key) => !known.has(key))
    .map((key) => ({ path: key, problem: 'is unknown' }));
  const parsedImage = tryParse('image', image, parseName, problems);
  const parsedDigest = tryParse('digest', digest, parseDigest, problems);
  const isList = tags === undefined || Array.isArray(tags);
  if (!isList) problems.push({ path: 'tags', problem: 'must be a list of tags' });
  const parsedTags = (Array.isArray(tags) ? (tags as unknown[]) : []).map((tag, i) =>
    tryParse(`tags[${i}]`, tag, parseTag, problems),
  );
  if (parsedImage === undefined || parsedDigest === undefined || problems.length > 0) throw problemsFound(problems);
  const restored = { image: parsedImage, digest: parsedDigest };
  // Without problems, each tag was parsed.
  return tags === undefined ? restored : { ...restored, tags: [...new Set(parsedTags as Tag[])] };
}

function tryParse<T>(path: string, value: unknown, parse: (text: string) => T, problems: Problem[]): T | undefined {
  try {
    if (typeof value === 'string') return parse(value);
    problems.push({ path, problem: 'must be a string' });
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    problems.push({ path, problem: error.message });
  }
  return undefined;
}
