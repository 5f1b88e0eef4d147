import { RegistryError } from '../../errors.js';
import { isRepositoryName } from '../../names.js';
import { describeProblems, strictOptions } from '../../settings/option-schema.js';
import { syncConfigSchema, syncFieldsSchema, type SyncConfig } from '../../settings/sync-config.js';
import { encodeDocument, problemsFound, toWireProblem } from './encoding.js';
import { mapKeys, toCamelCase, toSnakeCase } from '../spelling.js';

/** Parses the name of a sync. @throws RegistryError NOT_FOUND for an invalid name, which no sync has. */
export function parseSyncName(text: string): string {
  if (isRepositoryName(text)) return text;
  throw syncNotFound(text);
}

/** Creates the error for an absent sync. */
export function syncNotFound(name: string): RegistryError {
  return new RegistryError('NOT_FOUND', { message: 'sync not found', detail: { sync: name.slice(0, 200) } });
}

/** Returns a sync as the API shows it. */
export function encodeSync(record: {
  readonly config: SyncConfig;
  readonly origin: string;
  readonly status: object;
}): object {
  const { config, origin, status } = record;
  return { ...(mapKeys(config, toSnakeCase) as object), origin, status: encodeDocument(status) };
}

/**
 * Decodes the document of a sync. Ignores fields that only the API sets, so that clients can read, edit and put back a document.
 * @param name for a PUT: the name in the URL. The document may omit the name but not change it.
 * @throws RegistryError OPTIONS_INVALID with all problems.
 */
export function decodeSync(document: unknown, name?: string): SyncConfig {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw problemsFound([{ path: '', problem: 'must be a JSON object' }]);
  }
  const { origin: _origin, status: _status, ...settings } = document as Record<string, unknown>;
  const camel = Object.keys(settings).filter((key) => /[A-Z]/.test(key));
  const isOther = name !== undefined && (settings['name'] ?? name) !== name;
  const problems = [
    ...camel.map((key) => ({ path: key, problem: `unknown option "${key}": use "${toSnakeCase(key)}"` })),
    ...(isOther ? [{ path: 'name', problem: 'cannot change' }] : []),
  ];
  const known = Object.fromEntries(Object.entries(settings).filter(([key]) => !camel.includes(key)));
  const checked = syncConfigSchema.safeParse({
    ...(mapKeys(known, toCamelCase) as object),
    ...(name === undefined ? {} : { name }),
  });
  if (checked.success && problems.length === 0) return checked.data;
  const further = checked.success ? [] : describeProblems(checked.error).map(toWireProblem);
  throw problemsFound([...problems, ...further]);
}

/** The parameters of a job that runs a sync. */
export const syncParamsSchema = strictOptions({ sync: syncFieldsSchema.shape.name });
