import { hostname } from 'node:os';
import type { Actor } from '../../ports/metadata/journal.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { encodeDocument, encodeTime } from '../../protocol/tables/documents/encoding.js';
import { subjectOf, type OutgoingEvent } from './webhook-event.js';

/** The facts about the registry that bodies contain. */
export interface Sender {
  /** The option `publicUrl`. */
  readonly publicUrl: string | undefined;
  /** The option `prefix`. */
  readonly prefix: string;
  /** Differs with each start. */
  readonly instanceId: string;
}

/** A body and its media type. */
export interface FormattedEvent {
  readonly contentType: string;
  readonly body: string;
}

/** Writes an event in the format of a webhook. */
export function formatEvent(format: WebhookConfig['format'], event: OutgoingEvent, sender: Sender): FormattedEvent {
  return format === 'cloudevents' ? formatCloudEvent(event, sender) : formatEnvelope(event, sender);
}

// CloudEvents 1.0, structured mode ("JSON Event Format", 3).

function formatCloudEvent(event: OutgoingEvent, { publicUrl }: Sender): FormattedEvent {
  const { id, at, type, more = {}, ...data } = event;
  const subject = subjectOf(event);
  const document = {
    specversion: '1.0',
    id,
    // Together with the id, it identifies the event, even after a restart.
    source: publicUrl ?? 'urn:artifactapi',
    type: `dev.artifactapi.${type}`,
    ...(subject === '' ? {} : { subject }),
    time: encodeTime(at),
    datacontenttype: 'application/json',
    data: encodeDocument({ ...data, ...more }),
  };
  return { contentType: 'application/cloudevents+json', body: JSON.stringify(document) };
}

// The notifications of distribution.

const actions: Readonly<Record<string, string>> = {
  'manifest.pushed': 'push',
  'manifest.restored': 'push',
  'tag.moved': 'push',
  'tag.deleted': 'delete',
  'manifest.deleted': 'delete',
  'manifest.pulled': 'pull',
};
const methods: Readonly<Record<string, string>> = { push: 'PUT', delete: 'DELETE', pull: 'GET' };

function formatEnvelope(event: OutgoingEvent, sender: Sender): FormattedEvent {
  const { id, at, type, by } = event;
  const action = actions[type] ?? type;
  const envelope = {
    events: [
      {
        id,
        timestamp: encodeTime(at),
        action,
        target: targetOf(action, event, sender),
        request: requestOf(by, methods[action]),
        actor: by === undefined || by.via === 'anonymous' ? {} : { name: by.principal },
        source: { addr: hostname(), instanceID: sender.instanceId },
      },
    ],
  };
  // Fields that are undefined are omitted.
  return { contentType: 'application/vnd.docker.distribution.events.v2+json', body: JSON.stringify(envelope) };
}

/**
 * The fields that distribution 3 always writes are there, empty if nothing is known. A delete only names what was
 * deleted.
 */
function targetOf(action: string, event: OutgoingEvent, sender: Sender): object {
  const { by, repository = '', image, tag, digest = '' } = event;
  const name = image === undefined ? repository : `${repository}/${image}`;
  const isThere = action !== 'delete' && digest !== '';
  const { mediaType = '', size = 0 }: Partial<OutgoingEvent> = isThere ? event : {};
  return {
    mediaType,
    digest,
    size,
    length: size === 0 ? undefined : size,
    repository: name,
    url: isThere ? urlOf(name, digest, by, sender) : undefined,
    tag,
  };
}

function requestOf(by: Actor | undefined, method: string | undefined): object {
  if (by?.requestId === undefined) return {};
  return { id: by.requestId, addr: by.address, host: by.host, method, useragent: by.userAgent };
}

/** Receivers such as keel take the host of an image from here. */
function urlOf(name: string, digest: string, by: Actor | undefined, sender: Sender): string | undefined {
  const scheme = by?.secure === true ? 'https' : 'http';
  const origin =
    sender.publicUrl?.replace(/\/$/, '') ?? (by?.host === undefined ? undefined : `${scheme}://${by.host}`);
  return origin === undefined ? undefined : `${origin}${sender.prefix}/v2/${name}/manifests/${digest}`;
}
