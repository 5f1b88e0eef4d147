import type { ImageRow, ImageSummary, PullFigures, ShownMove, TagRow } from '../../manifests/browsed-images.js';
import type {
  ImageDocument,
  ImageSummaryDocument,
  PullFigures as PullFiguresDocument,
  TagDocument,
  TagMoveDocument,
} from '../../documents/images.js';
import type { RetentionPolicy } from '../../settings/retention-config.js';
import { encodeDocument, encodeTime } from './encoding.js';

/** The protection and the limits of an image. */
export interface ShownRules {
  readonly immutable?: { readonly immutableTags: readonly string[]; readonly mutableTags: readonly string[] };
  readonly retention?: RetentionPolicy | undefined;
  readonly quotas?: readonly { readonly name: string; readonly maxBytes: number; readonly usedBytes: number }[];
}

/** Returns an image as lists show it. */
export function encodeImageRow(row: ImageRow): ImageDocument {
  return {
    repository: row.repository,
    name: row.image,
    ...optional('member', row.member),
    manifests: row.manifests,
    tags: row.tags,
    size_bytes: row.bytes,
    ...optional('unique_bytes', row.uniqueBytes),
    updated_at: encodeTime(row.updatedAt),
    pushed_at: encodeTime(row.pushedAt),
    ...encodePulls(row),
  };
}

/** Returns a tag, or a manifest without a tag, as lists show it. */
export function encodeTagRow(row: TagRow): TagDocument {
  return {
    ...optional('name', row.name),
    ...optional('member', row.member),
    digest: row.digest,
    media_type: row.mediaType,
    type: row.kind,
    ...optional('artifact_type', row.artifactType),
    ...optional('platforms', row.platforms),
    manifest_size_bytes: row.manifestBytes,
    size_bytes: row.bytes,
    ...time('updated_at', row.updatedAt),
    pushed_at: encodeTime(row.pushedAt),
    ...optional('pushed_by', row.pushedBy?.principal),
    ...encodePulls(row),
    ...optional('immutable', row.immutable),
    ...time('checked_at', row.checkedAt),
    ...time('fresh_until', row.freshUntil),
    ...optional('pinned_by', row.pinnedBy),
  };
}

/** Returns the figures of an image as the API shows them. */
export function encodeSummary(summary: ImageSummary, rules: ShownRules): ImageSummaryDocument {
  return {
    ...(summary.members.length === 0 ? {} : { members: summary.members }),
    manifests: summary.manifests,
    tags: summary.tags,
    untagged: summary.untagged,
    size_bytes: summary.bytes,
    unique_bytes: summary.uniqueBytes,
    updated_at: encodeTime(summary.updatedAt),
    pushed_at: encodeTime(summary.pushedAt),
    ...encodePulls(summary),
    ...encodeRules(rules),
  };
}

function encodeRules({ immutable, retention, quotas = [] }: ShownRules): Partial<ImageSummaryDocument> {
  const { immutableTags = [], mutableTags = [] } = immutable ?? {};
  const { keep, untagged } = retention ?? {};
  const kept = retention && (encodeDocument({ keep, untagged }) as ImageSummaryDocument['retention']);
  return {
    ...optional('immutable', immutableTags.length === 0 ? undefined : { tags: immutableTags, except: mutableTags }),
    ...optional('retention', kept),
    ...optional(
      'quotas',
      quotas.length === 0
        ? undefined
        : quotas.map(({ name, maxBytes, usedBytes }) => ({ name, max_bytes: maxBytes, used_bytes: usedBytes })),
    ),
  };
}

/** Returns a move of a tag as the API shows it, without the address of the client. */
export function encodeMove({ move, at, by, digest, was, present }: ShownMove): TagMoveDocument {
  return {
    move,
    at: encodeTime(at),
    by: { principal: by.principal, via: by.via },
    digest: digest ?? null,
    was: was ?? null,
    present,
  };
}

function encodePulls({ pulledAt, pulls, recentPulls }: PullFigures): PullFiguresDocument {
  return { pulled_at: pulledAt === undefined ? null : encodeTime(pulledAt), pulls, recent_pulls: recentPulls };
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  // TypeScript widens a computed key to `string`.
  return (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };
}

function time<Key extends string>(key: Key, at: number | undefined): { [K in Key]?: string } {
  return optional(key, at === undefined ? undefined : encodeTime(at));
}
