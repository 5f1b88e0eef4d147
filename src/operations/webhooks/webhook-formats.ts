import { hostname } from 'node:os';
import type { Actor } from '../../ports/journal.js';
import type { WebhookConfig } from '../../protocol/settings/webhook-config.js';
import { encodeDocument, encodeTime } from '../../protocol/tables/encoding.js';
import { subjectOf, type OutgoingEvent } from './webhook-event.js';

/** What bodies tell about the registry. */
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
    // Together with the id, it identifies the event, also after a restart.
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
  const { id, at, type, by, repository = '', image, tag, digest, mediaType, size } = event;
  const name = image === undefined ? repository : `${repository}/${image}`;
  const action = actions[type] ?? type;
  const target = {
    mediaType,
    size,
    length: size,
    digest,
    repository: name,
    url: digest === undefined ? undefined : urlOf(name, digest, by, sender),
    tag,
  };
  const envelope = {
    events: [
      {
        id,
        timestamp: encodeTime(at),
        action,
        target,
        request: requestOf(by, methods[action]),
        actor: by === undefined || by.via === 'anonymous' ? {} : { name: by.principal },
        source: { addr: hostname(), instanceID: sender.instanceId },
      },
    ],
  };
  // Fields that are undefined are omitted.
  return { contentType: 'application/vnd.docker.distribution.events.v2+json', body: JSON.stringify(envelope) };
}

function requestOf(by: Actor | undefined, method: string | undefined): object {
  if (by?.requestId === undefined) return {};
  return { id: by.requestId, addr: by.address, host: by.host, method, useragent: by.userAgent };
}

/** Receivers such as keel take the host of an image from here. */
function urlOf(name: string, digest: string, by: Actor | undefined, sender: Sender): string | undefined {
  const origin = sender.publicUrl?.replace(/\/$/, '') ?? (by?.host === undefined ? undefined : `http://${by.host}`);
  return origin === undefined ? undefined : `${origin}${sender.prefix}/v2/${name}/manifests/${digest}`;
}
