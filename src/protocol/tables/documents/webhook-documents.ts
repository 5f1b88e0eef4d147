import { RegistryError } from '../../errors.js';
import { isRepositoryName } from '../../names.js';
import { describeProblems, type Problem } from '../../settings/option-schema.js';
import { webhookConfigSchema, type WebhookConfig } from '../../settings/webhook-config.js';
import { encodeDocument, problemsFound, toWireProblem } from './encoding.js';
import { mapKeys, toCamelCase, toSnakeCase } from '../spelling.js';

/** The grammar of the numbers of deliveries: those of their events in the journal. */
export const deliveryPattern = /^[1-9][0-9]{0,14}$/;

/** Parses the name of a webhook. @throws RegistryError NOT_FOUND for an invalid name, which no webhook has. */
export function parseWebhookName(text: string): string {
  if (isRepositoryName(text)) return text;
  throw webhookNotFound(text);
}

/** Parses the number of a delivery. @throws RegistryError NOT_FOUND for an invalid one. */
export function parseDelivery(text: string): number {
  if (deliveryPattern.test(text)) return Number(text);
  throw deliveryNotFound(text);
}

/** Creates the error for an absent webhook. */
export function webhookNotFound(name: string): RegistryError {
  return new RegistryError('NOT_FOUND', { message: 'webhook not found', detail: { webhook: name.slice(0, 200) } });
}

/** Creates the error for a delivery that is not in the log. */
export function deliveryNotFound(delivery: string): RegistryError {
  return new RegistryError('NOT_FOUND', {
    message: 'delivery not found: the last 200 of each webhook are kept',
    detail: { delivery: delivery.slice(0, 200) },
  });
}

/** Returns a webhook as the API shows it: without secrets and the values of headers. */
export function encodeWebhook(record: {
  readonly config: WebhookConfig;
  readonly origin: string;
  readonly status: object;
}): object {
  const { secret: _secret, previousSecret, headers = {}, ...shown } = record.config;
  return {
    ...(mapKeys(shown, toSnakeCase) as object),
    has_previous_secret: previousSecret !== undefined,
    header_names: Object.keys(headers),
    origin: record.origin,
    status: encodeDocument(record.status),
  };
}

/** Fields that only the API sets. */
const readOnlyFields = ['origin', 'status', 'has_previous_secret', 'header_names'];

/**
 * Decodes the document of a webhook. Ignores fields that only the API sets, so that clients can read, edit and put back a
 * document.
 * @param replaced for a PUT: the name in the URL and the previous settings. The document may omit the name but not change it.
 * It keeps the secrets and the headers that it omits; another `secret` makes the present one the previous one.
 * @throws RegistryError OPTIONS_INVALID with all problems.
 */
export function decodeWebhook(
  document: unknown,
  replaced?: { readonly name: string; readonly before: WebhookConfig | undefined },
): WebhookConfig {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const given = Object.entries(document).filter(([key]) => !readOnlyFields.includes(key));
  const problems: Problem[] = given
    .filter(([key]) => /[A-Z]/.test(key))
    .map(([key]) => ({ path: key, problem: `unknown option "${key}": use "${toSnakeCase(key)}"` }));
  // The keys of headers are not names of options, so only those of the document are renamed.
  const settings: Record<string, unknown> = Object.fromEntries(
    given.filter(([key]) => !/[A-Z]/.test(key)).map(([key, value]) => [toCamelCase(key), value]),
  );
  if (replaced !== undefined) {
    if ((settings['name'] ?? replaced.name) !== replaced.name)
      problems.push({ path: 'name', problem: 'cannot change' });
    settings['name'] = replaced.name;
    if (replaced.before !== undefined) problems.push(...keepSecrets(settings, replaced.before));
  }
  for (const key of ['headers', 'previousSecret']) if (settings[key] === null) delete settings[key];
  const checked = webhookConfigSchema.safeParse(settings);
  if (checked.success && problems.length === 0) return checked.data;
  const further = checked.success ? [] : describeProblems(checked.error).map(toWireProblem);
  throw problemsFound([...problems, ...further]);
}

/** Completes the settings with the secrets and headers that a document omits. */
function keepSecrets(settings: Record<string, unknown>, before: WebhookConfig): Problem[] {
  const { secret, previousSecret, headers } = before;
  settings['secret'] ??= secret;
  settings['previousSecret'] =
    'previousSecret' in settings ? settings['previousSecret'] : settings['secret'] === secret ? previousSecret : secret;
  if ('headers' in settings || headers === undefined) return [];
  // Headers may hold credentials, which are never sent to another host, or through another proxy, than they were set for.
  if (!leadsToSame(before, settings)) {
    return [
      { path: 'headers', problem: 'must be sent again, or be null, because the webhook now points to another server' },
    ];
  }
  settings['headers'] = headers;
  return [];
}

function leadsToSame(before: WebhookConfig, { url, proxy, ca }: Readonly<Record<string, unknown>>): boolean {
  const isSameOrigin =
    typeof url === 'string' && URL.canParse(url) && new URL(url).origin === new URL(before.url).origin;
  return isSameOrigin && proxy === before.proxy && ca === before.ca;
}
