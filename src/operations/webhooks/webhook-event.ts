import type { Actor, JournalEntry } from '../../ports/metadata/journal.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { RegistryEvents } from '../../ports/runtime.js';
import type { PulledManifest } from '../../ports/operations/webhooks.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { matchesAny, matchesPattern } from '../../protocol/patterns.js';
import { canonicalNames } from '../../protocol/settings/quota-config.js';
import type { WebhookConfig, WebhookEvent } from '../../protocol/settings/webhook-config.js';

/** An event on its way to a receiver. */
export interface OutgoingEvent {
  /** The same for each attempt, so that receivers can skip repetitions. */
  readonly id: string;
  readonly at: number;
  /** As in the journal, or `test`, `journal.gap`, `manifest.pulled` and `quota.reached`. */
  readonly type: string;
  readonly by?: Actor | undefined;
  readonly repository?: string | undefined;
  readonly image?: string | undefined;
  readonly tag?: Tag | undefined;
  readonly digest?: Digest | undefined;
  readonly was?: Digest | undefined;
  readonly mediaType?: string | undefined;
  readonly size?: number | undefined;
  /** Further fields of the type. */
  readonly more?: object | undefined;
}

/** The subscriptions that each type of event belongs to. Others are not sent. */
const subscriptions: Readonly<Record<string, readonly WebhookEvent[]>> = {
  'manifest.pushed': ['push'],
  'manifest.restored': ['push'],
  'tag.moved': ['push', 'tag'],
  'tag.deleted': ['delete', 'tag'],
  'manifest.deleted': ['delete'],
  'repository.created': ['repository'],
  'repository.replaced': ['repository'],
  'repository.deleted': ['repository'],
  'manifest.pulled': ['pull'],
  'quota.reached': ['quota'],
};

/** Returns whether a webhook subscribes to an event. */
export function isSubscribed(
  { events, names }: Pick<WebhookConfig, 'events' | 'names'>,
  { type, repository, image }: Pick<OutgoingEvent, 'type' | 'repository' | 'image'>,
): boolean {
  if (subscriptions[type]?.some((event) => events.includes(event)) !== true) return false;
  if (names === undefined || repository === undefined) return true;
  if (image !== undefined) return matchesAny(canonicalNames(names), `${repository}/${image}`);
  // A repository concerns everyone who is interested in one of its images.
  return names.some((pattern) => matchesPattern(pattern.replace(/\/.*/, ''), repository));
}

/** Returns the event of a change. */
export function eventOfEntry(entry: JournalEntry): OutgoingEvent {
  const { seq, override: _override, id: _document, ...event } = entry;
  // An index that was restored from a backup gives the same numbers again.
  return { ...event, id: `${seq}-${entry.at.toString(36)}` };
}

/** Returns the event of a pull. */
export function eventOfPull(
  { at: { repository, image }, ...pulled }: PulledManifest,
  id: string,
  at: number,
): OutgoingEvent {
  return { id, at, type: 'manifest.pulled', repository, image, ...pulled };
}

/** Returns the event of a quota that is filling up. */
export function eventOfQuota(
  { by, ...more }: RegistryEvents['quota.reached'][0],
  id: string,
  at: number,
): OutgoingEvent {
  return { id, at, type: 'quota.reached', by, more };
}

/** Returns what an event concerns: `repository/image:tag`, `repository/image@digest`, or a repository. */
export function subjectOf({ repository, image, tag, digest }: Omit<OutgoingEvent, 'id' | 'at' | 'type'>): string {
  if (repository === undefined || image === undefined) return repository ?? '';
  if (tag !== undefined) return `${repository}/${image}:${tag}`;
  return digest === undefined ? `${repository}/${image}` : `${repository}/${image}@${digest}`;
}

/** Where the manifest of an event is looked up. */
export type Manifests = Pick<MetadataStore, 'manifest' | 'trash'>;

/** Adds fields that the journal does not have, as long as the image or its trash has the manifest. */
export async function completeEvent(event: OutgoingEvent, manifests: Manifests): Promise<OutgoingEvent> {
  const { repository, image, digest } = event;
  if (repository === undefined || image === undefined || digest === undefined || event.size !== undefined) return event;
  const at = { repository, image };
  const found = (await manifests.manifest(at, digest)) ?? (await manifests.trash.get(at, digest))?.manifest;
  return found === undefined ? event : { ...event, mediaType: found.mediaType, size: found.size };
}
