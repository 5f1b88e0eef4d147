import { z } from '../zod.js';
import { isRepositoryName, repositoryNamePattern } from '../names.js';
import { patternsSchema } from './access-config.js';
import { describe, secondsSchema, strictOptions, type Immutable } from './option-schema.js';
import { certificatesSchema } from './pem-keys.js';

/** The events that a webhook can subscribe to. */
const webhookEvents = ['push', 'delete', 'tag', 'repository', 'pull', 'quota'] as const;
const formats = ['distribution', 'cloudevents'] as const;
/** Events that the format of distribution cannot express. */
const cloudeventsOnly: ReadonlySet<string> = new Set(['repository', 'quota']);

const minKeyBytes = 24;
const maxKeyBytes = 64;
const prefix = 'whsec_';

/** Returns the key of a secret: `whsec_` and base64, as in Standard Webhooks, or the characters themselves. */
export function keyOfSecret(secret: string): Buffer {
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret, 'ascii');
}

function isSecret(secret: string): boolean {
  if (!secret.startsWith(prefix)) return /^[\x21-\x7e]{24,255}$/.test(secret);
  const key = keyOfSecret(secret);
  const isBase64 = key.toString('base64') === secret.slice(prefix.length);
  return isBase64 && key.length >= minKeyBytes && key.length <= maxKeyBytes;
}

const secretSchema = z
  .string()
  .check(
    z.refine(
      isSecret,
      'must have 24 to 255 printable ASCII characters without spaces, or be whsec_ and the base64 of 24 to 64 bytes',
    ),
  );

function isPlainUrl(text: string): boolean {
  if (text.length > 2048 || !URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === '';
}

/** Headers that the registry or node:http sets. */
const ownHeaders =
  /^(?:host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|content-.*|webhook-.*|proxy-.*)$/i;

const headersSchema = z
  .record(
    z.string().check(z.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'must be the name of a header')),
    z.string().check(z.regex(/^[\x20-\x7e]{1,4096}$/, 'must have 1 to 4096 printable ASCII characters')),
  )
  .check(
    z.refine((headers) => Object.keys(headers).length <= 20, 'must have at most 20 headers'),
    z.refine(
      (headers) => !Object.keys(headers).some((name) => ownHeaders.test(name)),
      'must not contain host, connection, proxy-, content- or webhook- headers, which the registry sets',
    ),
  );

/** The fields of a webhook, for the documents that describe them. */
export const webhookFieldsSchema = strictOptions({
  name: z
    .string()
    .check(
      z.refine(
        isRepositoryName,
        'must be one component of lower-case letters and digits, separated by ".", "_", "__" or "-"',
      ),
    )
    .apply(describe, {
      pattern: repositoryNamePattern.source,
      maxLength: 128,
      description: 'The name of the webhook.',
    }),
  url: z
    .string()
    .check(z.refine(isPlainUrl, 'must be an http or https URL without credentials and fragment'))
    .apply(describe, {
      description: 'The URL that receives the events by `POST`. Its host may be a private address.',
    }),
  secret: secretSchema.apply(describe, {
    description:
      'Signs each request, so that the receiver can verify it: at least 24 characters, or `whsec_` and base64 as in Standard Webhooks.',
  }),
  previousSecret: z.optional(secretSchema).apply(describe, {
    description: 'A second secret that also signs, while receivers change over to `secret`.',
    unset: 'none',
  }),
  format: z
    ._default(z.enum(formats, { error: `must be one of ${formats.join(', ')}` }), 'distribution')
    .apply(describe, {
      description:
        "The body. `'distribution'`: the envelope of distribution's notifications. `'cloudevents'`: CloudEvents 1.0 as JSON.",
    }),
  events: z
    ._default(
      z
        .array(z.enum(webhookEvents, { error: `must be one of ${webhookEvents.join(', ')}` }))
        .check(z.minLength(1, 'must name at least one event')),
      ['push', 'delete'],
    )
    .apply(describe, {
      description:
        'The events to send. `push`: a manifest was pushed or restored, or a tag was created or moved. `delete`: a manifest or tag was deleted. `tag`: a tag was created, moved or deleted. `repository`: a repository was created, changed or deleted. `pull` and `quota`: a manifest was pulled, or a quota is nearly used up; these may be lost. `repository` and `quota` need `cloudevents`.',
    }),
  names: z.optional(patternsSchema).apply(describe, {
    description:
      "One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A repository's name alone matches all its images.",
    unset: 'everything',
  }),
  headers: z.optional(headersSchema).apply(describe, {
    description: "Headers to add to each request: `{ Authorization: 'Bearer …' }`. Their values are never shown.",
    unset: 'none',
  }),
  timeoutSeconds: z
    ._default(secondsSchema.check(z.minimum(1, 'must be at least 1'), z.maximum(60, 'must be at most 60')), 10)
    .apply(describe, { description: 'Timeout for the connection, and for the response.' }),
  ca: certificatesSchema,
  proxy: z
    .optional(z.string().check(z.refine(isPlainUrl, 'must be an http or https URL without credentials')))
    .apply(describe, {
      description: 'The URL of an outgoing proxy.',
      unset: '`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide',
    }),
}).apply(describe, { title: 'WebhookOptions', description: 'Sends events to a URL.' });

/** Checks the settings of a webhook, for code, configuration file and management API. */
export const webhookConfigSchema = webhookFieldsSchema.check(
  z.superRefine(({ format, events }, context) => {
    events.forEach((event, i) => {
      if (format === 'distribution' && cloudeventsOnly.has(event))
        context.addIssue({ code: 'custom', path: ['events', i], message: 'needs format: "cloudevents"' });
    });
  }),
);

/** The settings of a webhook. */
export type WebhookConfig = Immutable<z.output<typeof webhookFieldsSchema>>;
/** The events that a webhook subscribes to. */
export type WebhookEvent = (typeof webhookEvents)[number];
